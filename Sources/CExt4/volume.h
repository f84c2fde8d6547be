// What the files of this target share.
#include "CExt4.h"

#include <ext2fs/ext2fs.h>

struct ext4_volume {
    ext2_filsys fs;
    // Where the next blocks are looked for: behind the last ones, so that files lie in the order of the archive.
    blk64_t goal;
};

// Gives an inode that has no blocks as many as `size` bytes need, and that size.
long ext4_allocate_blocks(ext4_volume *volume, uint32_t inode, uint64_t size);
