// What Swift's Glibc module does not show of Linux: pidfd_* (headers it does not include), ioctl (variadic), and what
// posix_spawn(3) has as GNU extensions.

#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

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

// Gives back the room that a part of a file takes, which reads as zeros then (fallocate(2)). Returns 0, or -1 with errno.
int clinux_punch_hole(int fd, int64_t offset, int64_t length);

#endif
