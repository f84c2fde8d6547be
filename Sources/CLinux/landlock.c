#define _GNU_SOURCE
#include "CLinux.h"

#include <sys/syscall.h>
#include <unistd.h>

// The kernel's values (include/uapi/linux/landlock.h and unistd.h), for headers that are older than it.
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif
enum { clinux_LANDLOCK_CREATE_RULESET_VERSION = 1 };

int clinux_landlock_version(void) {
    return (int)syscall(SYS_landlock_create_ruleset, (void *)0, (size_t)0, clinux_LANDLOCK_CREATE_RULESET_VERSION);
}
