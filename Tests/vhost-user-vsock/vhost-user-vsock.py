#!/usr/bin/env python3
"""vhost-user-vsock.py VHOST VSOCK: a vsock for a guest of QEMU's, carried as Cloud Hypervisor carries it.

VHOST is the unix socket that QEMU's vhost-user-vsock-pci connects to (docs/interop/vhost-user.rst of QEMU); the device is
that of virtio 1.2, section 5.10. VSOCK is the unix socket of the host's side: a connection that writes `CONNECT <port>` is
answered by `OK <number>` once the guest has accepted it, and is closed if it does not. For tests: one guest, no speed.
"""
import mmap
import os
import selectors
import socket
import struct
import sys

GUEST, HOST = 3, 2
REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)
HEADER = struct.Struct("<QQIIIHHIII")
BUFFER = 256 << 10
VERSION_1, PROTOCOL_FEATURES, CONFIG = 1 << 32, 1 << 30, 1 << 9


class Queue:
    """One split virtqueue, in the guest's memory."""

    def __init__(self, memory):
        self.memory, self.size, self.last, self.used_index = memory, 0, 0, 0
        self.descriptors = self.available = self.used = None
        self.kick = self.call = None
        self.enabled = False

    @property
    def is_ready(self):
        return self.enabled and self.used is not None and self.size > 0

    def next(self):
        """The next chain, as its number and a list of (address, length, is written by the device); None if there is none."""
        (index,) = struct.unpack("<H", self.memory.at_user(self.available + 2, 2))
        if index == self.last:
            return None
        (head,) = struct.unpack("<H", self.memory.at_user(self.available + 4 + 2 * (self.last % self.size), 2))
        self.last = (self.last + 1) & 0xFFFF
        chain, number = [], head
        while True:
            address, length, flags, following = struct.unpack(
                "<QIHH", self.memory.at_user(self.descriptors + 16 * number, 16))
            chain.append((address, length, bool(flags & 2)))
            if not flags & 1:
                return head, chain
            number = following

    def done(self, head, length):
        self.memory.write_user(self.used + 4 + 8 * (self.used_index % self.size), struct.pack("<II", head, length))
        self.used_index = (self.used_index + 1) & 0xFFFF
        self.memory.write_user(self.used + 2, struct.pack("<H", self.used_index))
        if self.call is not None:
            os.write(self.call, struct.pack("<Q", 1))


class Memory:
    def __init__(self):
        self.regions = []

    def set(self, payload, descriptors):
        (count,) = struct.unpack_from("<I", payload)
        self.regions = []
        for number in range(count):
            guest, size, user, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * number)
            self.regions.append((guest, user, size, mmap.mmap(descriptors[number], size + offset), offset))

    def _find(self, address, which):
        for region in self.regions:
            if region[which] <= address < region[which] + region[2]:
                return region[3], address - region[which] + region[4]
        raise SystemExit(f"no memory at {address:#x}")

    def at_user(self, address, length):
        memory, place = self._find(address, 1)
        return memory[place:place + length]

    def write_user(self, address, data):
        memory, place = self._find(address, 1)
        memory[place:place + len(data)] = data

    def at_guest(self, address, length):
        memory, place = self._find(address, 0)
        return memory[place:place + length]

    def write_guest(self, address, data):
        memory, place = self._find(address, 0)
        memory[place:place + len(data)] = data


class Connection:
    """One connection between a unix socket and a port of the guest's."""

    def __init__(self, stream, number):
        self.stream, self.number = stream, number
        self.request, self.port, self.is_open, self.is_ended = b"", None, False, False
        self.sent = self.peer_forwarded = self.peer_buffer = self.forwarded = 0
        self.to_host, self.to_guest = b"", b""


class Device:
    def __init__(self, vhost, vsock):
        self.selector = selectors.DefaultSelector()
        self.memory = Memory()
        self.queues = [Queue(self.memory) for _ in range(3)]
        self.connections, self.pending, self.next_number = {}, [], 1 << 30
        for path, take in ((vhost, self.take_vmm), (vsock, self.take_host)):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path)
            listener.listen(8)
            self.selector.register(listener, selectors.EVENT_READ, take)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)
            self.flush()

    # The VMM.

    def take_vmm(self, listener):
        vmm, _ = listener.accept()
        self.selector.register(vmm, selectors.EVENT_READ, self.message)

    def message(self, vmm):
        header, descriptors, _, _ = socket.recv_fds(vmm, 12, 16)
        if not header:
            sys.exit(0)
        while len(header) < 12:
            header += vmm.recv(12 - len(header))
        request, _, size = struct.unpack("<III", header)
        payload = b""
        while len(payload) < size:
            payload += vmm.recv(size - len(payload))
        reply = self.handle(request, payload, descriptors)
        if reply is not None:
            vmm.sendall(struct.pack("<III", request, 5, len(reply)) + reply)

    def handle(self, request, payload, descriptors):
        number = struct.unpack_from("<I", payload)[0] & 0xFF if len(payload) >= 4 else 0
        queue = self.queues[number] if number < 3 else None
        value = struct.unpack_from("<II", payload)[1] if len(payload) == 8 else 0
        if request == 1:
            return struct.pack("<Q", VERSION_1 | PROTOCOL_FEATURES)
        if request == 15:
            return struct.pack("<Q", CONFIG)
        if request == 24:
            # offset, size, flags, and the configuration: the guest's context id.
            return payload[:12] + struct.pack("<Q", GUEST)[:len(payload) - 12]
        if request == 5:
            self.memory.set(payload, descriptors)
        elif request == 8:
            queue.size = value
        elif request == 9:
            _, _, queue.descriptors, queue.used, queue.available, _ = struct.unpack("<IIQQQQ", payload)
        elif request == 10:
            queue.last = queue.used_index = value & 0xFFFF
        elif request == 11:
            queue.enabled = False
            return struct.pack("<II", number, queue.last)
        elif request == 12 and descriptors:
            queue.kick = descriptors[0]
            # As long as VHOST_USER_F_PROTOCOL_FEATURES is not agreed on a kick enables the queue; later does no harm.
            queue.enabled = True
            self.selector.register(descriptors[0], selectors.EVENT_READ, self.kicked)
        elif request == 13 and descriptors:
            queue.call = descriptors[0]
        elif request == 18:
            queue.enabled = bool(value)
        return None

    # The guest.

    def kicked(self, descriptor):
        os.read(descriptor, 8)

    def flush(self):
        receive, transmit = self.queues[0], self.queues[1]
        if transmit.is_ready:
            while (chain := transmit.next()) is not None:
                head, parts = chain
                self.packet(b"".join(self.memory.at_guest(address, length) for address, length, _ in parts))
                transmit.done(head, 0)
        for connection in list(self.connections.values()):
            self.carry(connection)
        while receive.is_ready and self.pending and (chain := receive.next()) is not None:
            head, parts = chain
            data = rest = self.pending.pop(0)
            for address, length, _ in parts:
                self.memory.write_guest(address, rest[:length])
                rest = rest[length:]
            receive.done(head, len(data))

    def send(self, connection, op, data=b"", flags=0):
        header = HEADER.pack(HOST, GUEST, connection.number, connection.port, len(data), 1, op, flags, BUFFER,
                             connection.forwarded & 0xFFFFFFFF)
        self.pending.append(header + data)

    def packet(self, data):
        _, _, source, number, length, _, op, _, buffer, forwarded = HEADER.unpack_from(data)
        connection = self.connections.get(number)
        if connection is None or connection.port != source:
            return
        connection.peer_buffer, connection.peer_forwarded = buffer, forwarded
        if op == RESPONSE:
            connection.is_open = True
            connection.to_host += b"OK %d\n" % number
        elif op == RW:
            connection.to_host += data[HEADER.size:HEADER.size + length]
            connection.forwarded += length
            self.send(connection, CREDIT_UPDATE)
        elif op == CREDIT_REQUEST:
            self.send(connection, CREDIT_UPDATE)
        elif op == SHUTDOWN:
            self.send(connection, RST)
            self.end(connection)
        elif op == RST:
            self.end(connection)

    def carry(self, connection):
        if connection.to_host:
            try:
                connection.to_host = connection.to_host[connection.stream.send(connection.to_host):]
            except BlockingIOError:
                pass
            except OSError:
                connection.to_host = b""
        while connection.is_open and connection.to_guest:
            credit = connection.peer_buffer - ((connection.sent - connection.peer_forwarded) & 0xFFFFFFFF)
            part = connection.to_guest[:min(credit, 2048)]
            if not part:
                break
            connection.to_guest = connection.to_guest[len(part):]
            connection.sent += len(part)
            self.send(connection, RW, part)
        if connection.is_ended:
            self.flush_and_close(connection)

    def flush_and_close(self, connection):
        if connection.to_host:
            connection.stream.setblocking(True)
            try:
                connection.stream.sendall(connection.to_host)
            except OSError:
                pass
        connection.stream.close()
        self.connections.pop(connection.number, None)

    def end(self, connection):
        if not connection.is_ended:
            connection.is_ended = True
            self.selector.unregister(connection.stream)

    # The host.

    def take_host(self, listener):
        stream, _ = listener.accept()
        stream.setblocking(False)
        connection = Connection(stream, self.next_number)
        self.next_number += 1
        self.selector.register(stream, selectors.EVENT_READ, lambda _: self.heard(connection))

    def heard(self, connection):
        try:
            data = connection.stream.recv(64 << 10)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if connection.port is not None:
                self.send(connection, RST)
            self.end(connection)
            if connection.port is None:
                connection.stream.close()
            return
        if connection.port is not None:
            connection.to_guest += data
            return
        connection.request += data
        line, found, rest = connection.request.partition(b"\n")
        if not found:
            return
        connection.port, connection.to_guest = int(line.split()[1]), rest
        self.connections[connection.number] = connection
        self.send(connection, REQUEST)


Device(*sys.argv[1:]).run()
