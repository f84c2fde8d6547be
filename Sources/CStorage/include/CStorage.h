#ifndef CSTORAGE_H
#define CSTORAGE_H

#include <stdint.h>

/// Frees a stretch of a file without changing its size: fallocate(2), which Swift's Glibc module leaves out since it is
/// behind _GNU_SOURCE.
///
/// Returns 0, or -1 with errno set.
int storage_punch_hole(int descriptor, int64_t offset, int64_t length);

/// Starts writing a stretch of a file to the disk without waiting for it: sync_file_range(2) with SYNC_FILE_RANGE_WRITE.
///
/// Returns 0, or -1 with errno set.
int storage_start_writeback(int descriptor, int64_t offset, int64_t length);

/// Makes a new file share all that another one has: ioctl_ficlone(2), where the file system can.
///
/// Returns 0, or -1 with errno set.
int storage_clone(int source, int destination);

/// Where data begins at or after an offset: lseek(2) with SEEK_DATA, which is behind _GNU_SOURCE as well.
///
/// Returns the offset, or -1 with errno set, ENXIO if there is no more.
int64_t storage_seek_data(int descriptor, int64_t offset);

/// Where the hole behind the data at an offset begins, at the latest the end of the file: lseek(2) with SEEK_HOLE.
///
/// Returns the offset, or -1 with errno set.
int64_t storage_seek_hole(int descriptor, int64_t offset);

/// Copies a stretch to the same place of another file within the kernel: copy_file_range(2).
///
/// Returns how many bytes were copied, or -1 with errno set.
int64_t storage_copy_range(int source, int destination, int64_t offset, int64_t length);

#endif
