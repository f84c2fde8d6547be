#define _GNU_SOURCE
#include "CInit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
    const struct hypeman_spawn *request;
    sigset_t mask;
    int error;
    enum hypeman_spawn_stage stage;
};

// Runs in the child, which shares its parent's memory until exec (CLONE_VM | CLONE_VFORK): only system calls, and those
// that glibc wraps with work of its own (setuid(3) and its like signal every thread of the shared image) made directly.
static int run_child(void *context) {
    struct child *child = context;
    const struct hypeman_spawn *request = child->request;

    child->stage = HYPEMAN_SPAWN_SETUP;
    for (int number = 1; number < 65; number++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(number, &action, NULL);
    }
    if (setsid() < 0) goto failed;
    int descriptors[3] = {request->standard_input, request->standard_output, request->standard_error};
    // Out of the way of 0 to 2 first, so that no dup2 closes a descriptor that is still needed.
    for (int index = 0; index < 3; index++) {
        descriptors[index] = fcntl(descriptors[index], F_DUPFD_CLOEXEC, 3);
        if (descriptors[index] < 0) goto failed;
    }
    for (int index = 0; index < 3; index++)
        if (dup2(descriptors[index], index) < 0) goto failed;
    if (request->terminal && ioctl(0, TIOCSCTTY, 0) < 0) goto failed;
    // The table of descriptors is the child's own: nothing of the parent's may reach the program.
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) goto failed;
    umask(022);

    child->stage = HYPEMAN_SPAWN_CWD;
    if (chdir(request->directory) < 0) goto failed;

    child->stage = HYPEMAN_SPAWN_USER;
    if (geteuid() == 0) {
        if (syscall(SYS_setgroups, request->group_count, request->groups) < 0) goto failed;
        if (syscall(SYS_setresgid, request->gid, request->gid, request->gid) < 0) goto failed;
        if (syscall(SYS_setresuid, request->uid, request->uid, request->uid) < 0) goto failed;
    }

    child->stage = HYPEMAN_SPAWN_EXEC;
    sigprocmask(SIG_SETMASK, &child->mask, NULL);
    int denied = 0;
    errno = ENOENT;
    for (const char *const *path = request->candidates; *path; path++) {
        execve(*path, request->arguments, request->environment);
        // As execvp(3): go on where the file is not there or may not be run, and prefer to report the latter.
        if (errno == EACCES) denied = 1;
        else if (errno != ENOENT && errno != ENOTDIR) goto failed;
    }
    if (denied) errno = EACCES;
failed:
    child->error = errno;
    _exit(127);
}

int hypeman_spawn(const struct hypeman_spawn *request, pid_t *pid, enum hypeman_spawn_stage *stage) {
    // No signal handler of the parent's may run on the child's stack.
    struct child child = {.request = request, .error = 0, .stage = HYPEMAN_SPAWN_CLONE};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    sigemptyset(&child.mask);

    size_t size = 64 << 10;
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    int result = 0;
    if (stack == MAP_FAILED) {
        result = -errno;
    } else {
        pid_t started = clone(run_child, (char *)stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
        if (started < 0) {
            result = -errno;
        } else if (child.error) {
            result = -child.error;
            // Reaping it here keeps the failed start out of the main loop's sight.
            while (waitpid(started, NULL, 0) < 0 && errno == EINTR) {}
        } else {
            *pid = started;
        }
        munmap(stack, size);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *stage = child.stage;
    return result;
}

int hypeman_exec(const char *path, char *const *arguments, char *const *environment) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execve(path, arguments, environment);
    return -errno;
}

int hypeman_open_terminal(int *controller, int *terminal) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) return -errno;
    int unlocked = 0;
    int slave = -1;
    if (ioctl(master, TIOCSPTLCK, &unlocked) == 0) slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        int error = errno;
        close(master);
        return -error;
    }
    *controller = master;
    *terminal = slave;
    return 0;
}

int hypeman_set_window_size(int fd, unsigned short rows, unsigned short columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int hypeman_wait_signal(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    int number = 0;
    while ((number = sigwaitinfo(&set, NULL)) < 0 && errno == EINTR) {}
    return number < 0 ? -errno : number;
}

int hypeman_reap(int *status) {
    pid_t pid = waitpid(-1, status, WNOHANG);
    if (pid < 0) return errno == ECHILD ? 0 : -errno;
    return pid;
}

int hypeman_exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int hypeman_exit_signal(int status) {
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void hypeman_reap_remaining(int milliseconds) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += milliseconds % 1000 * 1000000L;
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0) continue;
        if (pid < 0) return;
        clock_gettime(CLOCK_MONOTONIC, &now);
        long left = (end.tv_sec - now.tv_sec) * 1000000000L + end.tv_nsec - now.tv_nsec;
        if (left <= 0) return;
        struct timespec patience = {.tv_sec = left / 1000000000L, .tv_nsec = left % 1000000000L};
        sigtimedwait(&set, NULL, &patience);
    }
}
