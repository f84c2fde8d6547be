import CInit
import Glibc
import GuestTransport
import Threads

/// Carries bytes between the channel's port and the present session, and begins a session when the host asks for one.
///
/// A virtio-serial port is no socket: while the host's end is closed it reads as end of file and polls as hung up, over
/// and over, and it never tells for certain that another host is there. So a thread of its own watches it, edge-triggered,
/// and gives each session a socket that behaves as sockets do: SwiftNIO sees a connection that begins and ends. A
/// connection over vsock needs the greeting alone of this; see ``VsockListener``.
public final class PortPump: @unchecked Sendable {  // Everything mutable is touched by the pump's own thread only.
    private static let chunk = 64 << 10
    /// How long the host's end must be closed before its session is over.
    ///
    /// The port's news of hosts that go and come travel apart from its bytes: the first bytes of a new host can be there
    /// before the news that the old one has gone, which must not end the session that they have just begun.
    public static let absence: Int32 = 250

    private let port: Int32
    private let endsWithPort: Bool
    private let absence: Int32
    private let isHungUp: @Sendable (Int32) -> Bool
    private let onSession: @Sendable (Int32) -> Void
    private let onSessionEnd: @Sendable () -> Void
    private let poller: Int32
    private var scanner: SessionScanner
    private var session: Int32 = -1
    private var isHostAway = false
    /// Whether the host has yet to be told that its session has begun.
    private var isAnswerPending = false
    private var toSession: [UInt8] = []
    private var toPort: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: PortPump.chunk)

    /// Makes a pump.
    ///
    /// - Parameters:
    ///   - port: The channel's port; owned by the pump from now on.
    ///   - secret: The session's secret.
    ///   - endsWithPort: Whether end of file on the port is the end for good.
    ///   - absence: Milliseconds for which the host's end must be closed before its session is over.
    ///   - isHungUp: Whether the host's end of the port is closed; nil asks the kernel.
    ///   - onSession: Given the socket of each new session; the receiver owns it. Called on the pump's thread.
    ///   - onSessionEnd: Called on the pump's thread when a session is over; if this side ended it, all that it wrote is on
    ///     its way.
    public init(
        port: Int32,
        secret: String,
        endsWithPort: Bool = false,
        absence: Int32 = PortPump.absence,
        isHungUp: (@Sendable (Int32) -> Bool)? = nil,
        onSession: @escaping @Sendable (Int32) -> Void,
        onSessionEnd: @escaping @Sendable () -> Void = {}
    ) {
        self.port = port
        self.endsWithPort = endsWithPort
        self.absence = absence
        self.isHungUp = isHungUp ?? { hypeman_is_hung_up($0) == 1 }
        self.onSession = onSession
        self.onSessionEnd = onSessionEnd
        scanner = SessionScanner(secret: secret)
        poller = hypeman_make_poller()
    }

    /// Carries bytes in a thread of its own.
    public func start() { DetachedThread.start { self.run() } }

    private func run() {
        hypeman_set_nonblocking(port)
        guard poller >= 0, hypeman_poller_add(poller, port) == 0 else { return }
        while true {
            // Edges are reported once: go on until nothing moves in either direction.
            var moved = true
            while moved {
                guard let inbound = portToSession() else {
                    endSession()
                    close(port)
                    close(poller)
                    return
                }
                moved = inbound
                if sessionToPort() { moved = true }
            }
            // A host that could not be answered yet has just come, and the news of that is still to: a guest that gets little
            // of a busy processor may be told late. Ended here, its session would be answered for and not be there.
            let mayBeOver = isHostAway && session >= 0 && !isAnswerPending
            let ready = hypeman_poller_wait(poller, mayBeOver ? absence : -1)
            guard ready >= 0 else { return }
            // Still away after all that time.
            if ready == 0, isHungUp(port) { endSession() }
            isHostAway = false
        }
    }

    /// Returns whether something moved, nil if the port has ended for good.
    private func portToSession() -> Bool? {
        guard toSession.isEmpty else { return flushSession() }
        let count = buffer.withUnsafeMutableBytes { read(port, $0.baseAddress, $0.count) }
        guard count > 0 else {
            if count < 0 { return endsWithPort && errno != EAGAIN && errno != EINTR ? nil : false }
            if endsWithPort { return nil }
            isHostAway = true
            return false
        }
        // Taken out so that the scanner can be given its bytes while a session begins.
        let bytes = buffer
        bytes.withUnsafeBytes { whole in
            var rest = UnsafeRawBufferPointer(rebasing: whole[..<count])
            while !rest.isEmpty {
                switch scanner.next(in: rest) {
                case .data(let count):
                    if session >= 0 { toSession.append(contentsOf: rest[..<count]) }
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                case .session(let count, let nonce):
                    begin(nonce: nonce)
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                }
            }
        }
        _ = flushSession()
        return true
    }

    private func flushSession() -> Bool {
        guard session >= 0 else {
            toSession.removeAll()
            return true
        }
        let moved = write(&toSession, to: session)
        guard let moved else {
            endSession()
            return true
        }
        return moved
    }

    private func sessionToPort() -> Bool {
        var moved = false
        if toPort.isEmpty, session >= 0 {
            let count = buffer.withUnsafeMutableBytes { read(session, $0.baseAddress, $0.count) }
            if count > 0 {
                toPort.append(contentsOf: buffer[..<count])
                moved = true
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                endSession()
            }
        }
        if !toPort.isEmpty {
            guard let written = write(&toPort, to: port) else {
                toPort.removeAll()
                return false
            }
            moved = moved || written
            if toPort.isEmpty { isAnswerPending = false }
        }
        return moved
    }

    private func begin(nonce: [UInt8]) {
        endSession()
        var ours: Int32 = -1
        var theirs: Int32 = -1
        guard hypeman_socket_pair(&ours, &theirs) == 0, hypeman_poller_add(poller, ours) == 0 else { return }
        session = ours
        toPort = SessionMarker.answer(nonce: nonce)
        isAnswerPending = true
        onSession(theirs)
    }

    private func endSession() {
        toSession.removeAll()
        guard session >= 0 else { return }
        close(session)
        session = -1
        onSessionEnd()
    }

    /// Writes what it can.
    ///
    /// Returns whether that was anything, nil if the other end is gone.
    private func write(_ bytes: inout [UInt8], to descriptor: Int32) -> Bool? {
        guard !bytes.isEmpty else { return false }
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) ? false : nil }
        bytes.removeFirst(count)
        return true
    }
}
