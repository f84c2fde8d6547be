#ifndef CEXT4_H
#define CEXT4_H

#include <stddef.h>
#include <stdint.h>

// Fills a new ext4 file system without mounting it, by libext2fs. Nothing here looks at names or contents: what may go
// into it is decided above. One thread at a time; never for a file system that a guest has written to.
//
// Functions return 0 or an error: an errno, or a code of libext2fs.

typedef struct ext4_volume ext4_volume;
typedef struct ext4_directory ext4_directory;

enum ext4_problem {
    EXT4_PROBLEM_OTHER,
    // No block, or no inode, is left in the file system.
    EXT4_PROBLEM_NO_BLOCK,
    EXT4_PROBLEM_NO_INODE,
    // The extended attributes of one file have no place in it.
    EXT4_PROBLEM_ATTRIBUTES,
    // Too long for a block.
    EXT4_PROBLEM_TARGET,
    // The host's disk is full.
    EXT4_PROBLEM_HOST,
};

enum ext4_problem ext4_problem_of(long error);
// For a person; valid for ever.
const char *ext4_message(long error);

long ext4_open(const char *path, ext4_volume **volume);
// Writes what is still in memory, and frees it in any case.
long ext4_close(ext4_volume *volume);
// Frees it; what is in the file is of no use then.
void ext4_abandon(ext4_volume *volume);

uint32_t ext4_block_size(const ext4_volume *volume);
uint32_t ext4_root(void);
// Takes everything out of the root, lost+found included.
long ext4_clear_root(ext4_volume *volume);

// A new inode without a name; `mode` has the type's bits.
long ext4_make(ext4_volume *volume, uint16_t mode, uint32_t *inode);
// A new file with all its blocks, whose contents are still to be written.
long ext4_make_file(ext4_volume *volume, uint64_t size, uint32_t *inode);
// Writes whole blocks of a file, from the block `block` of it on.
long ext4_write(ext4_volume *volume, uint32_t inode, uint64_t block, const void *bytes, uint32_t count);
long ext4_make_link(ext4_volume *volume, const void *target, size_t length, uint32_t *inode);
long ext4_make_device(ext4_volume *volume, uint16_t mode, uint32_t major, uint32_t minor, uint32_t *inode);
// Gives a file's inode and blocks back.
long ext4_release(ext4_volume *volume, uint32_t inode);

struct ext4_metadata {
    // Permission bits only.
    uint16_t mode;
    uint32_t owner;
    uint32_t group;
    int64_t seconds;
    uint32_t nanoseconds;
    uint32_t links;
};

long ext4_describe(ext4_volume *volume, uint32_t inode, const struct ext4_metadata *metadata);
// `name` with its namespace, as setxattr(2) takes it.
long ext4_set_attribute(ext4_volume *volume, uint32_t inode, const char *name, const void *value, size_t size);

// The names in a directory, put together in memory and then written at once.
ext4_directory *ext4_directory_begin(ext4_volume *volume, uint32_t inode, uint32_t parent);
// `mode` is that of the inode.
long ext4_directory_add(ext4_directory *directory, const void *name, size_t length, uint32_t inode, uint16_t mode);
// Writes it, and frees it in any case.
long ext4_directory_end(ext4_directory *directory);

#endif
