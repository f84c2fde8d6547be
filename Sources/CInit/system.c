#define _GNU_SOURCE
#include "CInit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RESULT(call) ((call) < 0 ? -errno : 0)

int hypeman_pipe(int *read_end, int *write_end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

int hypeman_socket_pair(int *first, int *second) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return -errno;
    *first = ends[0];
    *second = ends[1];
    return 0;
}

int hypeman_open(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int hypeman_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : RESULT(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int hypeman_load_module(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    long result = syscall(SYS_finit_module, fd, "", 0);
    int error = errno;
    close(fd);
    return result < 0 && error != EEXIST ? -error : 0;
}

int hypeman_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options) {
    return RESULT(mount(source, target, type, flags, options));
}

int hypeman_mkdir(const char *path, mode_t mode) {
    if (mkdir(path, mode) < 0) return -errno;
    // mkdir(2) applies the umask.
    return RESULT(chmod(path, mode));
}

int hypeman_switch_root(const char *path) {
    // The initramfs cannot be unmounted and so pivot_root(2) refuses it: its place is taken by a move instead
    // (kernel, Documentation/filesystems/ramfs-rootfs-initramfs.rst).
    if (chdir(path) < 0) return -errno;
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0) return -errno;
    if (chroot(".") < 0) return -errno;
    return RESULT(chdir("/"));
}

int hypeman_remount_read_only(int directory) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    return RESULT(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

int hypeman_set_hostname(const char *name, size_t length) {
    return RESULT(sethostname(name, length));
}

int hypeman_open_uevents(void) {
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0) return -errno;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int hypeman_wait_readable(int fd, int milliseconds) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int ready = poll(&entry, 1, milliseconds);
    if (ready < 0) return errno == EINTR ? 0 : -errno;
    char discarded[4096];
    while (ready > 0 && read(fd, discarded, sizeof discarded) > 0) {}
    return ready;
}

int hypeman_has_input(int fd) {
    // poll(2) on a terminal first moves what still is in its flip buffer; FIONREAD would miss that.
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int ready = poll(&entry, 1, 0);
    return ready < 0 ? -errno : (entry.revents & POLLIN) != 0;
}

int hypeman_make_poller(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int hypeman_poller_add(int poller, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    return RESULT(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
}

int hypeman_poller_wait(int poller, int milliseconds) {
    struct epoll_event events[4];
    int count = epoll_wait(poller, events, 4, milliseconds);
    return count < 0 ? (errno == EINTR ? 1 : -errno) : count;
}

int hypeman_is_hung_up(int fd) {
    struct pollfd entry = {.fd = fd};
    int ready = poll(&entry, 1, 0);
    return ready < 0 ? -errno : (entry.revents & POLLHUP) != 0;
}

void hypeman_power_off(void) {
    reboot(RB_POWER_OFF);
}

void hypeman_kill_all(void) {
    kill(-1, SIGKILL);
}

uint64_t hypeman_uptime_microseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

int hypeman_set_time(int64_t unix_nanoseconds) {
    struct timespec time = {.tv_sec = unix_nanoseconds / 1000000000, .tv_nsec = unix_nanoseconds % 1000000000};
    return RESULT(clock_settime(CLOCK_REALTIME, &time));
}

int hypeman_seed_random(const void *bytes, size_t length) {
    enum { LIMIT = 512 };
    _Alignas(struct rand_pool_info) unsigned char pool[sizeof(struct rand_pool_info) + LIMIT] = {0};
    if (length > LIMIT) return -EINVAL;
    struct rand_pool_info info = {.entropy_count = (int)length * 8, .buf_size = (int)length};
    memcpy(pool, &info, sizeof info);
    memcpy(pool + sizeof info, bytes, length);
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int result = ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0 ? -errno : 0;
    close(fd);
    explicit_bzero(pool, sizeof pool);
    return result;
}
