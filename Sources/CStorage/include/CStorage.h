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

#endif
