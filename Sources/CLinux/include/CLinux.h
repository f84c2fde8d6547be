// What Swift's Glibc module does not show of Linux: pidfd_* (headers it does not include), ioctl (variadic), and what
// posix_spawn(3) has as GNU extensions.

#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Starts a program in a session of its own, with default signal dispositions and no signal blocked, with no descriptor but
// 0 (/dev/null), 1 and 2 (appended to `output`). Of the caller's capabilities it has those in `capabilities` (one bit
// each), it can gain none, and a root process keeps CAP_DAC_READ_SEARCH: it may lie in a directory of another user's.
// Returns 0 or an errno; returns once the program is executed.
int clinux_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const char *output, uint64_t capabilities);

// The calling thread's capability sets (capabilities(7)), one bit each.
struct clinux_capability_sets {
    uint64_t effective;
    uint64_t permitted;
    uint64_t inheritable;
    uint64_t ambient;
};
int clinux_get_capabilities(struct clinux_capability_sets *sets);

// Makes those of `capabilities` that the calling thread is permitted inheritable and ambient, so that programs which it
// and its future threads execute have them, too. Returns 0 or an errno.
int clinux_raise_ambient(uint64_t capabilities);

// Connects a new non-blocking, close-on-exec stream socket to a unix socket. Returns it, or -1 with errno.
int clinux_connect_unix(const char *path);

// Sends all of `bytes` with a copy of `descriptor` (unix(7), SCM_RIGHTS), or nothing. Returns 0, or -1 with errno.
int clinux_send_descriptor(int socket, const void *bytes, size_t length, int descriptor);

// Starts writing a stretch of a file to the disk without waiting for it: sync_file_range(2) with SYNC_FILE_RANGE_WRITE;
// a length of 0 is to the end. Returns 0, or -1 with errno.
int clinux_start_writeback(int descriptor, int64_t offset, int64_t length);

// pidfd_open(2); the descriptor is close-on-exec.
int clinux_pidfd_open(int pid);

// pidfd_send_signal(2).
int clinux_pidfd_send_signal(int pidfd, int signal);

// waitid(2) with P_PIDFD, WEXITED and WNOHANG. On 1, *code is si_code and *status is si_status; 0 means that the
// process runs, -1 an error.
int clinux_pidfd_reap(int pidfd, int *code, int *status);

// Opens /dev/kvm, makes a virtual machine and closes both. 0 if that works; -1 with errno, and in *opened whether
// the device itself could be opened.
int clinux_kvm_probe(int *opened);

// The version of Landlock that the kernel offers (landlock_create_ruleset(2)), or -1 with errno where it offers none.
int clinux_landlock_version(void);

// Where data begins at or after `offset` (lseek(2), SEEK_DATA); -1 with errno, ENXIO if there is none.
int64_t clinux_seek_data(int fd, int64_t offset);

// Where a hole begins at or after `offset` (lseek(2), SEEK_HOLE), at the latest the end of the file; -1 with errno.
int64_t clinux_seek_hole(int fd, int64_t offset);

// Gives back the room that a part of a file takes, which reads as zeros then (fallocate(2)). Returns 0, or -1 with errno.
int clinux_punch_hole(int fd, int64_t offset, int64_t length);

// Makes a new file share all that another one has: ioctl_ficlone(2), where the file system can. Returns 0, or -1 with errno.
int clinux_clone(int source, int destination);

// Copies a stretch to the same place of another file within the kernel: copy_file_range(2). Returns how many bytes were
// copied, or -1 with errno.
int64_t clinux_copy_range(int source, int destination, int64_t offset, int64_t length);

// How far a path may lead that is opened relative to a directory (openat2(2)).
enum clinux_resolve {
    // Nowhere but below the directory; symbolic links are followed where they stay there.
    CLINUX_BENEATH,
    // The directory is what "/" means, and ".." does not lead out of it.
    CLINUX_IN_ROOT,
};

// Opens a path relative to a directory. `path_only` gives a descriptor that only names the place (O_PATH), which is all
// that there need be the right to; `flags` are those of open(2), and O_CLOEXEC is added. Returns it, or -1 with errno:
// EXDEV or ELOOP where the path leads out.
int clinux_open_below(int directory, const char *path, int flags, int path_only, enum clinux_resolve resolve);

// A new regular file in a directory, for writing, with no rights for anybody but its owner; nothing that is there
// is opened or followed. Returns its descriptor, or -1 with errno.
int clinux_create_file(int directory, const char *name);

// openat(2) of what is there, with O_CLOEXEC. Returns the descriptor, or -1 with errno.
int clinux_open_at(int directory, const char *path, int flags);

// A descriptor that names a file without opening it (O_PATH), a symbolic link itself unless `follow`.
int clinux_open_place(int directory, const char *path, int follow);

// mknodat(2); `mode` has the type too.
int clinux_make_node(int directory, const char *name, unsigned int mode, unsigned int major, unsigned int minor);
unsigned int clinux_major(uint64_t device);
unsigned int clinux_minor(uint64_t device);

// The magic number of the file system behind a descriptor (statfs(2)); -1 with errno.
int64_t clinux_file_system(int fd);

// Sets the time of modification alone, of what a directory's entry names and not of a symbolic link's target. An empty
// name means the descriptor's own file. Returns 0, or -1 with errno.
int clinux_set_modified(int directory, const char *name, int64_t seconds, uint32_t nanoseconds);

// Extended attributes (xattr(7)) of a path, of a symbolic link itself. As the calls of the same names.
ssize_t clinux_list_attributes(const char *path, void *names, size_t size);
ssize_t clinux_get_attribute(const char *path, const char *name, void *value, size_t size);
int clinux_set_attribute(const char *path, const char *name, const void *value, size_t size);

#endif
