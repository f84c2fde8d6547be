#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int clinux_open_below(int directory, const char *path, int flags, int path_only, enum clinux_resolve resolve) {
    struct open_how how = {
        .flags = (unsigned int)flags | O_CLOEXEC | (path_only ? O_PATH : 0),
        .resolve = RESOLVE_NO_MAGICLINKS | (resolve == CLINUX_IN_ROOT ? RESOLVE_IN_ROOT : RESOLVE_BENEATH),
    };
    int fd;
    // EAGAIN: something was renamed while the kernel looked, and it cannot tell whether the path leads out.
    do
        fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return fd;
}

int clinux_create_file(int directory, const char *name) {
    return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int clinux_open_at(int directory, const char *path, int flags) {
    return openat(directory, path, flags | O_CLOEXEC);
}

int clinux_open_place(int directory, const char *path, int follow) {
    return openat(directory, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
}

int clinux_make_node(int directory, const char *name, unsigned int mode, unsigned int major, unsigned int minor) {
    return mknodat(directory, name, mode, makedev(major, minor));
}

unsigned int clinux_major(uint64_t device) { return major(device); }
unsigned int clinux_minor(uint64_t device) { return minor(device); }

int64_t clinux_file_system(int fd) {
    struct statfs status;
    return fstatfs(fd, &status) < 0 ? -1 : (int64_t)status.f_type;
}

int clinux_set_modified(int directory, const char *name, int64_t seconds, uint32_t nanoseconds) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    if (!*name) return futimens(directory, times);
    return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
}

ssize_t clinux_list_attributes(const char *path, void *names, size_t size) { return llistxattr(path, names, size); }

ssize_t clinux_get_attribute(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}

int clinux_set_attribute(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}
