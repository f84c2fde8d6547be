#define _GNU_SOURCE
#include "CInit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// netdevice(7): any socket will do to configure an interface. Addresses are in network byte order.
static int control(unsigned long request, void *argument) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int result = ioctl(fd, request, argument) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static struct ifreq request_for(const char *interface) {
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    return request;
}

static void put_address(struct sockaddr *place, uint32_t address) {
    struct sockaddr_in value = {.sin_family = AF_INET, .sin_addr.s_addr = address};
    memcpy(place, &value, sizeof value);
}

int hypeman_link_up(const char *interface, int mtu) {
    struct ifreq request = request_for(interface);
    if (mtu > 0) {
        request.ifr_mtu = mtu;
        int result = control(SIOCSIFMTU, &request);
        if (result < 0) return result;
    }
    request = request_for(interface);
    int result = control(SIOCGIFFLAGS, &request);
    if (result < 0) return result;
    request.ifr_flags |= IFF_UP;
    return control(SIOCSIFFLAGS, &request);
}

int hypeman_set_mac(const char *interface, const uint8_t *address) {
    struct ifreq request = request_for(interface);
    int result = control(SIOCGIFHWADDR, &request);
    if (result < 0) return result;
    if (memcmp(request.ifr_hwaddr.sa_data, address, 6) == 0) return 0;
    memcpy(request.ifr_hwaddr.sa_data, address, 6);
    return control(SIOCSIFHWADDR, &request);
}

int hypeman_set_address(const char *interface, uint32_t address, uint32_t netmask) {
    struct ifreq request = request_for(interface);
    put_address(&request.ifr_addr, address);
    int result = control(SIOCSIFADDR, &request);
    if (result < 0) return result;
    request = request_for(interface);
    put_address(&request.ifr_netmask, netmask);
    return control(SIOCSIFNETMASK, &request);
}

int hypeman_add_default_route(const char *interface, uint32_t gateway) {
    struct rtentry route;
    memset(&route, 0, sizeof route);
    char name[IFNAMSIZ] = {0};
    strncpy(name, interface, IFNAMSIZ - 1);
    put_address(&route.rt_dst, 0);
    put_address(&route.rt_genmask, 0);
    put_address(&route.rt_gateway, gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    route.rt_dev = name;
    return control(SIOCADDRT, &route);
}
