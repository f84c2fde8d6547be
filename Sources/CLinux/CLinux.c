#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// The kernel's value (include/uapi/linux/wait.h); glibc has the name only since 2.36.
enum { clinux_P_PIDFD = 3 };

static int clinux_prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, const char *directory,
                          const char *output) {
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(actions, 1, output, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    if (!error) error = posix_spawn_file_actions_adddup2(actions, 1, 2);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    if (!error) error = posix_spawn_file_actions_addchdir_np(actions, directory);

    // A program that starts with SIGTERM ignored or blocked cannot be stopped by it.
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error) error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    return error;
}

int clinux_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const char *output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = clinux_prepare(&actions, &attributes, directory, output);
        if (!error) error = posix_spawn(pid, path, &actions, &attributes, argv, envp);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int clinux_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clinux_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int clinux_pidfd_reap(int pidfd, int *code, int *status) {
    siginfo_t info = {0};
    int result;
    do {
        result = waitid((idtype_t)clinux_P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -1;
    if (info.si_pid == 0) return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int clinux_kvm_probe(int *opened) {
    *opened = 0;
    int device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (device < 0) return -1;
    *opened = 1;
    int machine = ioctl(device, KVM_CREATE_VM, 0);
    int error = errno;
    if (machine >= 0) close(machine);
    close(device);
    errno = error;
    return machine >= 0 ? 0 : -1;
}
