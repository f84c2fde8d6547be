#include "volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum ext4_problem ext4_problem_of(long error) {
    switch (error) {
    case EXT2_ET_BLOCK_ALLOC_FAIL: return EXT4_PROBLEM_NO_BLOCK;
    case EXT2_ET_INODE_ALLOC_FAIL: return EXT4_PROBLEM_NO_INODE;
    case EXT2_ET_EA_NO_SPACE: return EXT4_PROBLEM_ATTRIBUTES;
    case ENAMETOOLONG: return EXT4_PROBLEM_TARGET;
    // A disk that has become full takes a part of what is written.
    case EXT2_ET_SHORT_WRITE:
    case EDQUOT:
    case ENOSPC: return EXT4_PROBLEM_HOST;
    default: return EXT4_PROBLEM_OTHER;
    }
}

const char *ext4_message(long error) {
    return error_message(error);
}

long ext4_open(const char *path, ext4_volume **result) {
    initialize_ext2_error_table();
    ext4_volume *volume = calloc(1, sizeof *volume);
    if (!volume) return ENOMEM;
    long error = ext2fs_open2(path, NULL, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &volume->fs);
    if (!error) {
        error = ext2fs_read_bitmaps(volume->fs);
        if (error) ext2fs_free(volume->fs);
    }
    if (error) {
        free(volume);
        return error;
    }
    volume->goal = volume->fs->super->s_first_data_block;
    *result = volume;
    return 0;
}

long ext4_close(ext4_volume *volume) {
    long error = ext2fs_close(volume->fs);
    if (error) ext2fs_free(volume->fs);
    free(volume);
    return error;
}

void ext4_abandon(ext4_volume *volume) {
    ext2fs_free(volume->fs);
    free(volume);
}

uint32_t ext4_block_size(const ext4_volume *volume) {
    return volume->fs->blocksize;
}

uint32_t ext4_root(void) {
    return EXT2_ROOT_INO;
}

static long read_inode(ext4_volume *volume, uint32_t number, struct ext2_inode_large *inode) {
    memset(inode, 0, sizeof *inode);
    return ext2fs_read_inode_full(volume->fs, number, (struct ext2_inode *)inode, sizeof *inode);
}

static long write_inode(ext4_volume *volume, uint32_t number, struct ext2_inode_large *inode) {
    return ext2fs_write_inode_full(volume->fs, number, (struct ext2_inode *)inode, sizeof *inode);
}

static void set_time(__u32 *time, __u32 *extra, int64_t seconds, uint32_t nanoseconds) {
    *time = (__u32)seconds;
    // Two bits more of the seconds, above which the nanoseconds stand (kernel, Documentation/filesystems/ext4).
    *extra = (__u32)(((seconds - (int32_t)seconds) >> 32) & 3) | nanoseconds << 2;
}

long ext4_make(ext4_volume *volume, uint16_t mode, uint32_t *number) {
    ext2_filsys fs = volume->fs;
    ext2_ino_t found;
    long error = ext2fs_new_inode(fs, EXT2_ROOT_INO, mode, NULL, &found);
    if (error) return error;
    ext2fs_inode_alloc_stats2(fs, found, +1, S_ISDIR(mode));
    struct ext2_inode_large inode;
    memset(&inode, 0, sizeof inode);
    inode.i_mode = mode;
    inode.i_links_count = 1;
    if (EXT2_INODE_SIZE(fs->super) > EXT2_GOOD_OLD_INODE_SIZE)
        inode.i_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    if (S_ISREG(mode) || S_ISDIR(mode)) {
        // Writes the header of an empty list of extents into it.
        ext2_extent_handle_t extents;
        inode.i_flags |= EXT4_EXTENTS_FL;
        error = ext2fs_extent_open2(fs, found, (struct ext2_inode *)&inode, &extents);
        if (error) return error;
        ext2fs_extent_free(extents);
    }
    *number = found;
    return write_inode(volume, found, &inode);
}

long ext4_allocate_blocks(ext4_volume *volume, uint32_t number, uint64_t size) {
    ext2_filsys fs = volume->fs;
    uint64_t blocks = (size + fs->blocksize - 1) / fs->blocksize;
    if (blocks > 0) {
        if (blocks > ext2fs_free_blocks_count(fs->super)) return EXT2_ET_BLOCK_ALLOC_FAIL;
        // libext2fs looks for a range past the end rather than at the front again.
        if (volume->goal + blocks > ext2fs_blocks_count(fs->super)) volume->goal = fs->super->s_first_data_block;
        long error =
            ext2fs_fallocate(fs, EXT2_FALLOCATE_FORCE_INIT, number, NULL, volume->goal, 0, blocks);
        if (error) return error;
        blk64_t last;
        error = ext2fs_bmap2(fs, number, NULL, NULL, 0, blocks - 1, NULL, &last);
        if (error) return error;
        volume->goal = last + 1 < ext2fs_blocks_count(fs->super) ? last + 1 : fs->super->s_first_data_block;
    }
    struct ext2_inode_large inode;
    long error = read_inode(volume, number, &inode);
    if (!error) error = ext2fs_inode_size_set(fs, (struct ext2_inode *)&inode, (ext2_off64_t)size);
    return error ? error : write_inode(volume, number, &inode);
}

long ext4_make_file(ext4_volume *volume, uint64_t size, uint32_t *number) {
    long error = ext4_make(volume, S_IFREG, number);
    return error ? error : ext4_allocate_blocks(volume, *number, size);
}

long ext4_write(ext4_volume *volume, uint32_t number, uint64_t block, const void *bytes, uint32_t count) {
    ext2_filsys fs = volume->fs;
    uint32_t done = 0;
    while (done < count) {
        blk64_t first;
        long error = ext2fs_bmap2(fs, number, NULL, NULL, 0, block + done, NULL, &first);
        if (error) return error;
        if (!first) return EXT2_ET_CORRUPT_SUPERBLOCK;
        uint32_t run = 1;
        while (done + run < count) {
            blk64_t next;
            error = ext2fs_bmap2(fs, number, NULL, NULL, 0, block + done + run, NULL, &next);
            if (error) return error;
            if (next != first + run) break;
            run++;
        }
        error = io_channel_write_blk64(fs->io, first, (int)run, (const char *)bytes + (size_t)done * fs->blocksize);
        if (error) return error;
        done += run;
    }
    return 0;
}

long ext4_make_link(ext4_volume *volume, const void *target, size_t length, uint32_t *number) {
    ext2_filsys fs = volume->fs;
    if (length >= fs->blocksize) return ENAMETOOLONG;
    struct ext2_inode_large inode;
    if (length < sizeof inode.i_block) {
        long error = ext4_make(volume, S_IFLNK, number);
        if (!error) error = read_inode(volume, *number, &inode);
        if (error) return error;
        memcpy(inode.i_block, target, length);
        inode.i_size = (__u32)length;
        return write_inode(volume, *number, &inode);
    }
    // A longer one has a block, and so extents.
    long error = ext4_make_file(volume, length, number);
    if (!error) error = read_inode(volume, *number, &inode);
    if (error) return error;
    inode.i_mode = S_IFLNK;
    error = write_inode(volume, *number, &inode);
    if (error) return error;
    char *block = calloc(1, fs->blocksize);
    if (!block) return ENOMEM;
    memcpy(block, target, length);
    error = ext4_write(volume, *number, 0, block, 1);
    free(block);
    return error;
}

long ext4_make_device(ext4_volume *volume, uint16_t mode, uint32_t major, uint32_t minor, uint32_t *number) {
    struct ext2_inode_large inode;
    long error = ext4_make(volume, mode, number);
    if (!error) error = read_inode(volume, *number, &inode);
    if (error) return error;
    // The old form where it fits, as the kernel writes them (include/linux/kdev_t.h).
    if (major < 256 && minor < 256)
        inode.i_block[0] = major << 8 | minor;
    else
        inode.i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
    return write_inode(volume, *number, &inode);
}

static long release(ext4_volume *volume, uint32_t number, int is_directory) {
    long error = ext2fs_punch(volume->fs, number, NULL, NULL, 0, ~0ULL);
    struct ext2_inode_large inode;
    if (!error) error = read_inode(volume, number, &inode);
    if (error) return error;
    inode.i_links_count = 0;
    inode.i_dtime = inode.i_mtime ? inode.i_mtime : 1;
    error = write_inode(volume, number, &inode);
    if (!error) ext2fs_inode_alloc_stats2(volume->fs, number, -1, is_directory);
    return error;
}

long ext4_release(ext4_volume *volume, uint32_t number) {
    return release(volume, number, 0);
}

long ext4_clear_root(ext4_volume *volume) {
    ext2_ino_t found;
    long error = ext2fs_namei(volume->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, "lost+found", &found);
    if (!error) error = release(volume, found, 1);
    return error ? error : ext2fs_punch(volume->fs, EXT2_ROOT_INO, NULL, NULL, 0, ~0ULL);
}

long ext4_describe(ext4_volume *volume, uint32_t number, const struct ext4_metadata *metadata) {
    struct ext2_inode_large inode;
    long error = read_inode(volume, number, &inode);
    if (error) return error;
    inode.i_mode = (inode.i_mode & S_IFMT) | (metadata->mode & ~S_IFMT);
    inode.i_uid = (__u16)metadata->owner;
    inode.i_gid = (__u16)metadata->group;
    ext2fs_set_i_uid_high(inode, (__u16)(metadata->owner >> 16));
    ext2fs_set_i_gid_high(inode, (__u16)(metadata->group >> 16));
    // A directory with more subdirectories than can be counted has 1 (dir_nlink).
    inode.i_links_count = metadata->links <= EXT2_LINK_MAX ? metadata->links : 1;
    set_time(&inode.i_mtime, &inode.i_mtime_extra, metadata->seconds, metadata->nanoseconds);
    set_time(&inode.i_atime, &inode.i_atime_extra, metadata->seconds, metadata->nanoseconds);
    set_time(&inode.i_ctime, &inode.i_ctime_extra, metadata->seconds, metadata->nanoseconds);
    return write_inode(volume, number, &inode);
}

long ext4_set_attribute(ext4_volume *volume, uint32_t number, const char *name, const void *value, size_t size) {
    struct ext2_xattr_handle *attributes;
    long error = ext2fs_xattrs_open(volume->fs, number, &attributes);
    if (error) return error;
    error = ext2fs_xattrs_read(attributes);
    if (!error) error = ext2fs_xattr_set(attributes, name, value, size);
    ext2fs_xattrs_close(&attributes);
    return error;
}
