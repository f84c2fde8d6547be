#include "CTap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cnetwork_tap_open(const char *name, int exclusive, int *descriptor) {
    struct ifreq request = {0};
    if (strlen(name) >= sizeof request.ifr_name) return ENAMETOOLONG;
    strcpy(request.ifr_name, name);
    // The flag does not fit a signed short; the kernel reads the 16 bits.
    request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (exclusive ? IFF_TUN_EXCL : 0));
    int opened = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) return errno;
    if (ioctl(opened, TUNSETIFF, &request) < 0) {
        int failure = errno;
        close(opened);
        return failure;
    }
    *descriptor = opened;
    return 0;
}

int cnetwork_tap_set_owner(int descriptor, uid_t owner, gid_t group) {
    // A TAP has neither at first, and cannot be made to have none again.
    if (owner != (uid_t)-1 && ioctl(descriptor, TUNSETOWNER, (unsigned long)owner) < 0) return errno;
    if (group != (gid_t)-1 && ioctl(descriptor, TUNSETGROUP, (unsigned long)group) < 0) return errno;
    return 0;
}

int cnetwork_tap_set_persistent(int descriptor, int persistent) {
    return ioctl(descriptor, TUNSETPERSIST, (unsigned long)persistent) < 0 ? errno : 0;
}
