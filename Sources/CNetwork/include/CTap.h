// TAP devices: the requests of linux/if_tun.h, which ioctl(2) carries.

#ifndef CTAP_H
#define CTAP_H

#include <sys/types.h>

// Opens /dev/net/tun and attaches to the TAP of that name, which is made if it isn't there; it vanishes when the
// descriptor is closed unless it is made persistent. Frames have a virtio-net header before them (IFF_VNET_HDR) and no
// other (IFF_NO_PI). `exclusive` refuses one that is there, with EBUSY. Returns 0 or an errno.
int cnetwork_tap_open(const char *name, int exclusive, int *descriptor);

// Who may attach to it without CAP_NET_ADMIN; a group of (gid_t)-1 leaves the group as it is. Returns 0 or an errno.
int cnetwork_tap_set_owner(int descriptor, uid_t owner, gid_t group);

// Whether it stays when the descriptor is closed. Returns 0 or an errno.
int cnetwork_tap_set_persistent(int descriptor, int persistent);

#endif
