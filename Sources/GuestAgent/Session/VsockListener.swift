import CInit
import Glibc
import GuestProtocol
import Threads

/// Takes the host's connections over vsock, each of which begins a session by the same greeting as over a port.
///
/// A connection that comes ends the one before: the host has one, and after the machine was taken up from disk the one
/// before may never hear of its end.
public final class VsockListener: @unchecked Sendable {  // Mutable things are touched by its own thread only.
    /// Until the next try after a connection that could not be taken, for want of memory or descriptors.
    private static let pauseMicroseconds: UInt32 = 100_000

    private let listener: Int32
    private let secret: String
    private let isHost: @Sendable (UInt32) -> Bool
    private let onSession: @Sendable (Int32) -> Void
    private let onSessionEnd: @Sendable () -> Void
    /// Another descriptor of the present connection.
    private var connection: Int32 = -1

    /// Makes a listener.
    ///
    /// - Parameters:
    ///   - listener: The listening socket; owned by the listener from now on.
    ///   - secret: The session's secret.
    ///   - isHost: Whether connections from a context id are taken; nil: from the host's.
    ///   - onSession: Given the socket of each new session; the receiver owns it. Called on any thread.
    ///   - onSessionEnd: Called once for each session that is over, on any thread.
    public init(
        listener: Int32,
        secret: String,
        isHost: (@Sendable (UInt32) -> Bool)? = nil,
        onSession: @escaping @Sendable (Int32) -> Void,
        onSessionEnd: @escaping @Sendable () -> Void = {}
    ) {
        self.listener = listener
        self.secret = secret
        self.isHost = isHost ?? { $0 == GuestVsock.hostContextID }
        self.onSession = onSession
        self.onSessionEnd = onSessionEnd
    }

    /// Takes connections in a thread of its own, until the socket is shut down.
    public func start() { DetachedThread.start { self.run() } }

    private func run() {
        while true {
            var peer: UInt32 = 0
            let socket = hypeman_vsock_accept(listener, &peer)
            guard socket >= 0 else {
                if socket == -EINVAL || socket == -EBADF { break }
                if socket != -EINTR && socket != -ECONNABORTED { usleep(VsockListener.pauseMicroseconds) }
                continue
            }
            guard isHost(peer) else {
                close(socket)
                continue
            }
            endConnection()
            connection = fcntl(socket, F_DUPFD_CLOEXEC, 3)
            PortPump(
                port: socket,
                secret: secret,
                endsWithPort: true,
                onSession: onSession,
                onSessionEnd: onSessionEnd
            ).start()
        }
        endConnection()
        close(listener)
    }

    private func endConnection() {
        guard connection >= 0 else { return }
        shutdown(connection, Int32(SHUT_RDWR))
        close(connection)
        connection = -1
    }
}
