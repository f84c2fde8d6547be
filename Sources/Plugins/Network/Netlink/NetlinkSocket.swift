import CNetwork
import Glibc
import SystemPackage

/// A netlink socket (netlink(7)), for one thread at a time; it belongs to the network namespace that it is opened in.
struct NetlinkSocket: ~Copyable {
    /// Which part of the kernel answers (linux/netlink.h).
    enum Family {
        /// Links, addresses, routes, neighbours and traffic control: rtnetlink(7).
        case route
        /// nftables and connection tracking.
        case netfilter

        fileprivate var number: Int32 {
            switch self {
            case .route: NETLINK_ROUTE
            case .netfilter: NETLINK_NETFILTER
            }
        }
    }

    /// SOL_NETLINK in the kernel's linux/socket.h, which libc does not repeat.
    private static let level: Int32 = 270
    /// The kernel answers at once; only a fault takes as long.
    static let timeout = Duration.seconds(10)
    /// More than the kernel puts into one datagram (NLMSG_GOODSIZE, and 32 KiB in a dump), cut-off ones are errors.
    private static let bufferSize = 1 << 16

    let descriptor: Int32
    private var sequence: UInt32 = 0

    /// Opens a socket.
    ///
    /// - Parameters:
    ///   - family: Whom to talk to.
    ///   - groups: The multicast groups whose notifications it receives (`RTNLGRP_…`).
    ///   - timeout: How long to wait for a datagram.
    /// - Throws: ``NetlinkError``.
    init(_ family: Family, groups: [UInt32] = [], timeout: Duration = Self.timeout) throws {
        descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), family.number)
        guard descriptor >= 0 else { throw Self.failure("open a netlink socket") }
        let (seconds, attoseconds) = timeout.components
        let time = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        try set(SOL_SOCKET, SO_RCVTIMEO, time)
        // Errors in the kernel's words, without a copy of the whole request.
        try set(Self.level, NETLINK_EXT_ACK, Int32(1))
        try set(Self.level, NETLINK_CAP_ACK, Int32(1))
        guard !groups.isEmpty else { return }
        // The kernel's own notifications skip a socket without an address, which sending would give it.
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        let bound = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
            }
        }
        guard bound == 0 else { throw Self.failure("set up a netlink socket") }
        for group in groups { try set(Self.level, NETLINK_ADD_MEMBERSHIP, Int32(group)) }
    }

    deinit {
        // Nothing is lost: netlink has no data in flight once the answer was read.
        _ = Glibc.close(descriptor)
    }

    private func set<Value: BitwiseCopyable>(_ level: Int32, _ option: Int32, _ value: Value) throws {
        let result = withUnsafeBytes(of: value) {
            setsockopt(descriptor, level, option, $0.baseAddress, socklen_t($0.count))
        }
        guard result == 0 else { throw Self.failure("set up a netlink socket") }
    }

    private static func failure(_ purpose: String) -> NetlinkError {
        NetlinkError(Errno(rawValue: errno), purpose: purpose)
    }

    mutating func nextSequence() -> UInt32 {
        sequence &+= 1
        return sequence
    }

    /// Sends bytes that are whole messages in one datagram.
    func send(_ datagram: [UInt8], purpose: String) throws {
        if datagram.count > Self.bufferSize {
            // The kernel refuses what is larger than the socket's buffer; CAP_NET_ADMIN may exceed wmem_max.
            try set(SOL_SOCKET, SO_SNDBUFFORCE, Int32(clamping: 2 * datagram.count))
        }
        while true {
            let sent = datagram.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
            if sent == datagram.count { return }
            guard sent < 0 else { throw NetlinkError(.messageTooLong, purpose: purpose) }
            guard errno == EINTR else { throw Self.failure(purpose) }
        }
    }

    /// Waits for a datagram from the kernel.
    ///
    /// - Returns: Its messages.
    /// - Throws: ``NetlinkError``: `wouldBlock` after the timeout, or at once if there is none and `isWaiting` is false.
    func receive(purpose: String, isWaiting: Bool = true) throws -> [NetlinkReply] {
        while true {
            var sender = sockaddr_nl()
            var length = 0
            let datagram = [UInt8](unsafeUninitializedCapacity: Self.bufferSize) { buffer, count in
                length = withUnsafeMutablePointer(to: &sender) { sender in
                    sender.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                        var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
                        // MSG_TRUNC: the length of the datagram also where it is longer than the buffer.
                        let flags = Int32(MSG_TRUNC) | (isWaiting ? 0 : Int32(MSG_DONTWAIT))
                        return recvfrom(descriptor, buffer.baseAddress, buffer.count, flags, address, &size)
                    }
                }
                count = min(max(0, length), buffer.count)
            }
            if length < 0 {
                if errno == EINTR { continue }
                throw Self.failure(purpose)
            }
            guard length <= Self.bufferSize else { throw NetlinkError(.messageTooLong, purpose: purpose) }
            // Other processes can send to this socket too; only the kernel is believed.
            guard sender.nl_pid == 0 else { continue }
            return try NetlinkReply.messages(in: datagram)
        }
    }
}
