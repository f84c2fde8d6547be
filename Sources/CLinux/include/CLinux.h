// What Swift's Glibc module does not show of Linux: pidfd_* (headers it does not include), ioctl (variadic), and what
// posix_spawn(3) has as GNU extensions.

#ifndef CLINUX_H
#define CLINUX_H

// Starts a program in a session of its own, with default signal dispositions and no signal blocked, with no descriptor but
// 0 (/dev/null), 1 and 2 (appended to `output`). Returns 0 or an errno; returns once the program is executed.
int clinux_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const char *output);

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

#endif
