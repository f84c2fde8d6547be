// What Swift's Glibc module does not show of Linux's networking: setns(2) is behind _GNU_SOURCE, ioctl(2) is variadic.

#ifndef CNETWORK_H
#define CNETWORK_H

#include "CNetlink.h"
#include "CTap.h"

// setns(2) to a network namespace, for the calling thread. Returns 0 or an errno.
int cnetwork_enter(int namespace_descriptor);

#endif
