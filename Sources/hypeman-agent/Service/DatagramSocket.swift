import Glibc
import SystemPackage

/// A socket that sends datagrams to one address (unix(7)).
///
/// It is not connected, so that a receiver that was started anew is reached again.
final class DatagramSocket: Sendable {
    private let descriptor: CInt
    private let address: sockaddr_un
    private let addressLength: socklen_t

    /// How long a send may wait for a receiver that is behind.
    private static let patience = timeval(tv_sec: 5, tv_usec: 0)

    /// Opens a socket that sends to `path`; one that begins with `@` is an abstract name.
    ///
    /// - Throws: What socket(2) says; `ENAMETOOLONG` for a path that does not fit.
    init(to path: String) throws(Errno) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        let isAbstract = bytes.first == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 } else { bytes.append(0) }
        guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else { throw .fileNameTooLong }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        self.address = address
        addressLength = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        var patience = Self.patience
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Sends one datagram.
    ///
    /// - Parameters:
    ///   - bytes: All of it.
    ///   - waits: Whether to wait for a receiver that is behind; else that is `EAGAIN`.
    /// - Throws: What sendto(2) says.
    func send(_ bytes: some Sequence<UInt8>, waits: Bool) throws(Errno) {
        let bytes = Array(bytes)
        let flags = Int32(MSG_NOSIGNAL) | (waits ? 0 : Int32(MSG_DONTWAIT))
        while true {
            let sent = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, bytes, bytes.count, flags, $0, addressLength)
                }
            }
            if sent >= 0 { return }
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
    }
}
