import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// Who is at the other end of a connection.
enum Peer: Sendable, Hashable {
    /// A process on this host, as the kernel says (unix(7), SO_PEERCRED).
    case process(user: UInt32, group: UInt32, pid: Int32)
    /// A host, by its address.
    case network(String)

    /// For logs and limits.
    var description: String {
        switch self {
        case .process(let user, _, let pid): "uid \(user) pid \(pid)"
        case .network(let address): address
        }
    }

    /// Asks the kernel about a connection on a unix socket.
    static func ofUnixSocket(_ channel: any Channel) -> EventLoopFuture<Peer> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        let credentials: EventLoopFuture<Credentials> = provider.unsafeGetSocketOption(
            level: NIOBSDSocket.OptionLevel.socket,
            name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
        )
        return credentials.map { .process(user: $0.uid, group: $0.gid, pid: $0.pid) }
    }

    /// The kernel's `struct ucred`, which Glibc declares for GNU sources only (unix(7)).
    private struct Credentials: Sendable {
        var pid: Int32
        var uid: UInt32
        var gid: UInt32
    }
}
