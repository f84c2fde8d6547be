#define _GNU_SOURCE
#include "CNetwork.h"

#include <errno.h>
#include <sched.h>

int cnetwork_enter(int namespace_descriptor) {
    return setns(namespace_descriptor, CLONE_NEWNET) < 0 ? errno : 0;
}
