#include "volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ext4_directory {
    ext4_volume *volume;
    uint32_t inode;
    // Whole blocks, of which the last one is being filled.
    char *blocks;
    size_t count;
    size_t used;
    struct ext2_dir_entry *last;
    // Remembered until the end: a directory that could not be put together is not written.
    long error;
};

static size_t room(const ext4_directory *directory) {
    ext2_filsys fs = directory->volume->fs;
    size_t tail = ext2fs_has_feature_metadata_csum(fs->super) ? sizeof(struct ext2_dir_entry_tail) : 0;
    return fs->blocksize - tail;
}

// Lets the last entry of the block take what is left of it.
static long fill_block(ext4_directory *directory) {
    ext2_filsys fs = directory->volume->fs;
    char *block = directory->blocks + (directory->count - 1) * fs->blocksize;
    size_t start = (size_t)((char *)directory->last - block);
    long error = ext2fs_set_rec_len(fs, (unsigned)(room(directory) - start), directory->last);
    if (!error && room(directory) < fs->blocksize)
        ext2fs_initialize_dirent_tail(fs, EXT2_DIRENT_TAIL(block, fs->blocksize));
    return error;
}

static long begin_block(ext4_directory *directory) {
    size_t size = directory->volume->fs->blocksize;
    char *blocks = realloc(directory->blocks, (directory->count + 1) * size);
    if (!blocks) return ENOMEM;
    memset(blocks + directory->count * size, 0, size);
    directory->blocks = blocks;
    directory->count++;
    directory->used = 0;
    directory->last = NULL;
    return 0;
}

static int type_of(uint16_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return EXT2_FT_REG_FILE;
    case S_IFDIR: return EXT2_FT_DIR;
    case S_IFCHR: return EXT2_FT_CHRDEV;
    case S_IFBLK: return EXT2_FT_BLKDEV;
    case S_IFIFO: return EXT2_FT_FIFO;
    case S_IFLNK: return EXT2_FT_SYMLINK;
    default: return EXT2_FT_UNKNOWN;
    }
}

ext4_directory *ext4_directory_begin(ext4_volume *volume, uint32_t inode, uint32_t parent) {
    ext4_directory *directory = calloc(1, sizeof *directory);
    if (!directory) return NULL;
    directory->volume = volume;
    directory->inode = inode;
    ext4_directory_add(directory, ".", 1, inode, S_IFDIR);
    ext4_directory_add(directory, "..", 2, parent, S_IFDIR);
    return directory;
}

long ext4_directory_add(ext4_directory *directory, const void *name, size_t length, uint32_t inode, uint16_t mode) {
    if (directory->error) return directory->error;
    ext2_filsys fs = directory->volume->fs;
    // A header of eight bytes and the name, to a multiple of four.
    size_t needed = (8 + length + 3) & ~(size_t)3;
    if (!directory->count || directory->used + needed > room(directory)) {
        if (directory->count) directory->error = fill_block(directory);
        if (!directory->error) directory->error = begin_block(directory);
        if (directory->error) return directory->error;
    }
    char *block = directory->blocks + (directory->count - 1) * fs->blocksize;
    struct ext2_dir_entry *entry = (struct ext2_dir_entry *)(block + directory->used);
    entry->inode = inode;
    directory->error = ext2fs_set_rec_len(fs, (unsigned)needed, entry);
    ext2fs_dirent_set_name_len(entry, (int)length);
    ext2fs_dirent_set_file_type(entry, type_of(mode));
    memcpy(entry->name, name, length);
    directory->last = entry;
    directory->used += needed;
    return directory->error;
}

long ext4_directory_end(ext4_directory *directory) {
    ext2_filsys fs = directory->volume->fs;
    long error = directory->error ? directory->error : fill_block(directory);
    if (!error)
        error = ext4_allocate_blocks(directory->volume, directory->inode, (uint64_t)directory->count * fs->blocksize);
    for (size_t index = 0; !error && index < directory->count; index++) {
        blk64_t block;
        error = ext2fs_bmap2(fs, directory->inode, NULL, NULL, 0, index, NULL, &block);
        if (!error)
            error = ext2fs_write_dir_block4(fs, block, directory->blocks + index * fs->blocksize, 0, directory->inode);
    }
    free(directory->blocks);
    free(directory);
    return error;
}
