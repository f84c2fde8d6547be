import AgentCore
import Glibc
import SystemPackage

/// The sockets of a host that receive what nobody else asked for, from /proc/net/{tcp,udp} (proc_net_tcp in the kernel's
/// documentation).
enum ListeningSockets {
    /// The states, as the kernel numbers them, in which a socket takes what comes to its port: TCP_LISTEN, and for UDP,
    /// which has no states of its own, TCP_CLOSE, so one that is bound and not connected.
    private static func state(_ transport: PublishedPort.Transport) -> UInt8 { transport == .tcp ? 0x0a : 0x07 }

    /// Whether somebody has a port on any of this host's IPv4 addresses; blocking, in the thread's own namespace.
    ///
    /// Also on 127.0.0.1 alone: a published port is taken there, too.
    static func contain(_ key: PublishedPort.Key) throws -> Bool {
        if key.transport == .tcp, canListen(on: key.hostPort) { return false }
        for file in [key.transport.rawValue, key.transport.rawValue + "6"] {
            if try contain(key, path: FilePath("/proc/thread-self/net/\(file)")) { return true }
        }
        return false
    }

    /// Whether a socket can have a TCP port at all addresses: then nobody listens on it.
    ///
    /// The list of TCP sockets takes milliseconds to read also where it is empty, as the kernel walks the host's whole
    /// table for it. If the port cannot be had, connections alone may be the reason, and the list tells.
    private static func canListen(on port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        // Nothing was sent that closing could lose.
        defer { _ = Glibc.close(descriptor) }
        // Passes by most connections of the past, and by no listener (socket(7)).
        var isReusing: Int32 = 1
        guard setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isReusing, socklen_t(MemoryLayout<Int32>.size)) == 0
        else { return false }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        return withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func contain(_ key: PublishedPort.Key, path: FilePath) throws -> Bool {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        } catch Errno.noSuchFileOrDirectory {
            // A kernel without IPv6.
            return false
        }
        return try file.closeAfter {
            // A busy host has a hundred thousand lines: they are looked at one by one.
            var line: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = try chunk.withUnsafeMutableBytes { try file.read(into: $0) }
                guard count > 0 else { return false }
                for byte in chunk[..<count] {
                    guard byte == UInt8(ascii: "\n") else {
                        line.append(byte)
                        continue
                    }
                    if isListening(String(decoding: line, as: UTF8.self), on: key) { return true }
                    line.removeAll(keepingCapacity: true)
                }
            }
        }
    }

    /// Whether a line, `sl: LOCAL:PORT REMOTE:PORT STATE …` in hexadecimal, is about a socket that has a port.
    static func isListening(_ line: String, on key: PublishedPort.Key) -> Bool {
        let fields = line.split(separator: " ", maxSplits: 4)
        guard fields.count >= 4, UInt8(fields[3], radix: 16) == state(key.transport) else { return false }
        let local = fields[1].split(separator: ":")
        guard local.count == 2, UInt16(local[1], radix: 16) == key.hostPort else { return false }
        // Of IPv6 only those that get IPv4, too: the wildcard and mapped addresses, whose words are in host order.
        let isIPv6 = local[0].utf8.count == 32
        let mapped = UInt32(0xffff).bigEndian
        return !isIPv6 || local[0].allSatisfy { $0 == "0" }
            || (local[0].prefix(16).allSatisfy { $0 == "0" }
                && UInt32(local[0].dropFirst(16).prefix(8), radix: 16) == mapped)
    }
}
