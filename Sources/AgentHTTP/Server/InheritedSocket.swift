public import AgentCore
import Foundation
public import SystemPackage

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// A unix socket that listens already and belongs to whoever started the agent: systemd, which keeps what comes while the
/// agent is restarted.
public struct InheritedSocket: Sendable, Hashable {
    let descriptor: CInt
    public let path: FilePath
    /// The group whose members may connect, by the file's mode; nil for nobody but its owner.
    let group: UInt32?

    /// Looks at a descriptor that was passed to this process.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_socket` if it isn't a listening unix stream socket with a path.
    public init(descriptor: CInt) throws(AgentError) {
        func refused(_ reason: String) -> AgentError {
            AgentError(
                .invalidArgument,
                code: "invalid_socket",
                "the socket that was passed as descriptor \(descriptor) \(reason): it must be a unix stream socket, as in "
                    + "hypeman-agent.socket"
            )
        }
        func option(_ name: CInt) -> CInt? {
            var value: CInt = 0
            var length = socklen_t(MemoryLayout<CInt>.size)
            return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
        }
        guard option(SO_DOMAIN) == AF_UNIX, option(SO_TYPE) == CInt(SOCK_STREAM.rawValue) else {
            throw refused("is of another kind")
        }
        guard option(SO_ACCEPTCONN) == 1 else { throw refused("does not listen") }
        var address = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let named = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        let bytes = withUnsafeBytes(of: address.sun_path) { Array($0.prefix { $0 != 0 }) }
        guard named == 0, bytes.first == UInt8(ascii: "/") else { throw refused("has no path") }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: text),
            let mode = attributes[.posixPermissions] as? NSNumber,
            let owner = attributes[.groupOwnerAccountID] as? NSNumber
        else { throw refused("was removed from \(text)") }
        self.descriptor = descriptor
        path = FilePath(text)
        group = mode.intValue & 0o020 == 0 ? nil : owner.uint32Value
    }
}
