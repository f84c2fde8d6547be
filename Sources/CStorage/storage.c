#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "CStorage.h"

int storage_punch_hole(int descriptor, int64_t offset, int64_t length) {
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int storage_start_writeback(int descriptor, int64_t offset, int64_t length) {
    return sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE);
}

int storage_clone(int source, int destination) {
    return ioctl(destination, FICLONE, source);
}

int64_t storage_seek_data(int descriptor, int64_t offset) {
    return lseek(descriptor, offset, SEEK_DATA);
}

int64_t storage_seek_hole(int descriptor, int64_t offset) {
    return lseek(descriptor, offset, SEEK_HOLE);
}

int64_t storage_copy_range(int source, int destination, int64_t offset, int64_t length) {
    off64_t from = offset, to = offset;
    return copy_file_range(source, &from, destination, &to, (size_t)length, 0);
}
