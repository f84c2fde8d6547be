#include "CInit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Runs before the Swift runtime, which reads /proc/self/exe when a static executable starts and aborts without it.
// Other processes than PID 1 (tests that link this code, the agent under systemd) are left alone.
__attribute__((constructor(101))) static void hypeman_prepare_first_process(void) {
    if (getpid() != 1) return;
    mkdir("/proc", 0555);
    mkdir("/sys", 0555);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    // Ctrl-Alt-Del must not reset the machine behind our back (reboot(2)).
    reboot(RB_DISABLE_CAD);
    signal(SIGPIPE, SIG_IGN);
    hypeman_block_signals();
    // What systemd gives to services; the kernel's own hard limit of 4096 is too small for many servers.
    struct rlimit files = {.rlim_cur = 1024, .rlim_max = 524288};
    setrlimit(RLIMIT_NOFILE, &files);
}

void hypeman_block_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
}
