#define _GNU_SOURCE
#include "CInit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

int hypeman_vsock_listen(unsigned int port) {
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int hypeman_vsock_accept(int listener, unsigned int *cid) {
    struct sockaddr_vm address;
    socklen_t length = sizeof address;
    int fd = accept4(listener, (struct sockaddr *)&address, &length, SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    *cid = address.svm_cid;
    return fd;
}
