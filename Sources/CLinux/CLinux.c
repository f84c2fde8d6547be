#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
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

// Capabilities are a thread's (capabilities(7)); prctl(2) and the raw calls change the calling one's alone.
static int clinux_load_capabilities(struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    return syscall(SYS_capget, &header, data) < 0 ? errno : 0;
}

static int clinux_store_capabilities(const struct __user_cap_data_struct data[2]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    return syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

int clinux_get_capabilities(struct clinux_capability_sets *sets) {
    struct __user_cap_data_struct data[2];
    int error = clinux_load_capabilities(data);
    if (error) return error;
    sets->effective = data[0].effective | (uint64_t)data[1].effective << 32;
    sets->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    sets->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    sets->ambient = 0;
    for (int number = 0; number < 64; number++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) == 1) sets->ambient |= 1ull << number;
    return 0;
}

// Sets what is inheritable, and raises it as ambient.
static int clinux_bequeath(uint64_t capabilities, int ambient) {
    struct __user_cap_data_struct data[2];
    int error = clinux_load_capabilities(data);
    if (error) return error;
    uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    capabilities &= permitted;
    data[0].inheritable = (uint32_t)capabilities;
    data[1].inheritable = (uint32_t)(capabilities >> 32);
    error = clinux_store_capabilities(data);
    for (int number = 0; ambient && !error && number < 64; number++)
        if (capabilities >> number & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0) error = errno;
    return error;
}

int clinux_raise_ambient(uint64_t capabilities) { return clinux_bequeath(capabilities, 1); }

// Leaves the calling thread nothing to pass on but `capabilities`.
static int clinux_restrict(uint64_t capabilities) {
    // For root a program's file has every capability (capabilities(7)), so that the bounding set decides.
    int is_root = geteuid() == 0;
    if (is_root) capabilities |= 1ull << CAP_DAC_READ_SEARCH;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return errno;
    for (int number = 0; number < 64; number++) {
        if (capabilities >> number & 1) continue;
        // EINVAL is beyond the kernel's last. Without CAP_SETPCAP it is not allowed, and not needed: what is neither
        // ambient nor gained from a file is gone with the exec.
        if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0) {
            if (errno == EINVAL || (errno == EPERM && !is_root)) break;
            if (errno != EPERM) return errno;
        }
    }
    int error = clinux_bequeath(capabilities, !is_root);
    if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) error = errno;
    return error;
}

struct clinux_spawn_request {
    int *pid;
    const char *path;
    char *const *argv;
    char *const *envp;
    const char *directory;
    const char *output;
    uint64_t capabilities;
    int error;
};

static void *clinux_spawn_restricted(void *argument) {
    struct clinux_spawn_request *request = argument;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = clinux_restrict(request->capabilities);
    if (!error) error = posix_spawn_file_actions_init(&actions);
    if (!error) {
        error = posix_spawnattr_init(&attributes);
        if (!error) {
            error = clinux_prepare(&actions, &attributes, request->directory, request->output);
            if (!error)
                error = posix_spawn(request->pid, request->path, &actions, &attributes, request->argv, request->envp);
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    request->error = error;
    return NULL;
}

int clinux_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *directory,
                 const char *output, uint64_t capabilities) {
    struct clinux_spawn_request request = {
        .pid = pid, .path = path, .argv = argv, .envp = envp,
        .directory = directory, .output = output, .capabilities = capabilities,
    };
    // What a thread drops of the bounding set it never gets back: one that ends with the spawn drops it, and its child
    // is a child of the whole process.
    pthread_t thread;
    int error = pthread_create(&thread, NULL, clinux_spawn_restricted, &request);
    if (!error) error = pthread_join(thread, NULL);
    return error ? error : request.error;
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

int clinux_connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int clinux_send_descriptor(int socket, const void *bytes, size_t length, int descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return -1;
    if ((size_t)sent == length) return 0;
    errno = EAGAIN;
    return -1;
}
