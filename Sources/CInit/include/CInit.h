// What hypeman-init needs from Linux that Swift cannot say: code that runs before the Swift runtime, code between clone
// and exec, and calls with variadic arguments or ioctl structures. Every function returns 0 or a value >= 0 on success,
// and a negated errno on failure.
#ifndef HYPEMAN_CINIT_H
#define HYPEMAN_CINIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Where starting a program failed.
enum hypeman_spawn_stage {
    HYPEMAN_SPAWN_CLONE,
    HYPEMAN_SPAWN_SETUP,
    HYPEMAN_SPAWN_CWD,
    HYPEMAN_SPAWN_USER,
    HYPEMAN_SPAWN_EXEC,
};

struct hypeman_spawn {
    // Paths to try in order, as execvp(3) does; ends with NULL.
    const char *const *candidates;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
    int standard_input;
    int standard_output;
    int standard_error;
    // Whether standard_input is a terminal that becomes the controlling one.
    int terminal;
};

// Starts a program in a session of its own. `stage` says where it failed; `pid` is set on success.
int hypeman_spawn(const struct hypeman_spawn *request, pid_t *pid, enum hypeman_spawn_stage *stage);

// Replaces this process.
int hypeman_exec(const char *path, char *const *arguments, char *const *environment);

// Opens a new pseudo-terminal, both ends close-on-exec.
int hypeman_open_terminal(int *controller, int *terminal);
int hypeman_set_window_size(int fd, unsigned short rows, unsigned short columns);
// 1 if something can be read at once, 0 if not.
int hypeman_has_input(int fd);

int hypeman_pipe(int *read_end, int *write_end);
int hypeman_socket_pair(int *first, int *second);
// A socket that takes connections to a port of this machine's vsock (vsock(7)).
int hypeman_vsock_listen(unsigned int port);
// Waits for one, and says whose it is.
int hypeman_vsock_accept(int listener, unsigned int *cid);
int hypeman_open(const char *path, int flags);
int hypeman_set_nonblocking(int fd);

int hypeman_load_module(const char *path);
int hypeman_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options);
int hypeman_mkdir(const char *path, mode_t mode);
// Makes `path`, a directory with everything mounted below it, the root of this process.
int hypeman_switch_root(const char *path);
// Makes the file system behind a directory's descriptor read-only.
int hypeman_remount_read_only(int directory);

// Sets the system's clock (clock_settime(2)).
int hypeman_set_time(int64_t unix_nanoseconds);
// Adds bytes to the pool of random numbers, and has the kernel draw all that follow from it anew (random(4)). They are
// credited, for who gives them is trusted to have drawn them at random.
int hypeman_seed_random(const void *bytes, size_t length);

int hypeman_set_hostname(const char *name, size_t length);
int hypeman_link_up(const char *interface, int mtu);
// Gives an Ethernet interface another MAC address of 6 bytes, also while it is up where its driver can.
int hypeman_set_mac(const char *interface, const uint8_t *address);
int hypeman_set_address(const char *interface, uint32_t address, uint32_t netmask);
int hypeman_add_default_route(const char *interface, uint32_t gateway);

// A socket that becomes readable when the kernel announces a device.
int hypeman_open_uevents(void);
// Waits until `fd` is readable, then throws away what is there. 0 on timeout.
int hypeman_wait_readable(int fd, int milliseconds);

// Waits for a SIGCHLD or SIGTERM, which the constructor has blocked in every thread. Returns the signal.
int hypeman_wait_signal(void);
// Blocks SIGCHLD and SIGTERM in this thread and those it starts.
void hypeman_block_signals(void);
// Reaps one child. Returns its pid, 0 if none has ended.
int hypeman_reap(int *status);
// Reaps children until there are none left or the time is over.
void hypeman_reap_remaining(int milliseconds);
int hypeman_exit_code(int status);
// The signal that ended it, 0 if none did.
int hypeman_exit_signal(int status);

int hypeman_make_poller(void);
// Adds a descriptor edge-triggered for input, output and hang-up.
int hypeman_poller_add(int poller, int fd);
// Waits for an edge, -1 for ever. 0 on timeout.
int hypeman_poller_wait(int poller, int milliseconds);
// 1 if the other end of a descriptor is closed.
int hypeman_is_hung_up(int fd);

void hypeman_power_off(void);
void hypeman_kill_all(void);
uint64_t hypeman_uptime_microseconds(void);

#endif
