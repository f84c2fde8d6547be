#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

int64_t clinux_seek_data(int fd, int64_t offset) { return lseek(fd, offset, SEEK_DATA); }

int64_t clinux_seek_hole(int fd, int64_t offset) { return lseek(fd, offset, SEEK_HOLE); }

int clinux_punch_hole(int fd, int64_t offset, int64_t length) {
    return fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length);
}

int clinux_start_writeback(int descriptor, int64_t offset, int64_t length) {
    return sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE);
}

int clinux_clone(int source, int destination) { return ioctl(destination, FICLONE, source); }

int64_t clinux_copy_range(int source, int destination, int64_t offset, int64_t length) {
    off64_t from = offset, to = offset;
    return copy_file_range(source, &from, destination, &to, (size_t)length, 0);
}
