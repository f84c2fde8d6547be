import NIOCore
import NIOWebSocket
import Synchronization

/// The sending side of an exec's WebSocket.
///
/// A write waits while the client does not read.
struct ExecSocket: Sendable {
    /// Keeps proxies and address translators from forgetting a silent connection.
    private static let pingInterval = Duration.seconds(30)
    private static let closePatience = Duration.seconds(5)

    private let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>
    private let closed: AsyncStream<Void>
    private let closeSent = SharedFlag()

    init(channel: any Channel, outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>) {
        self.outbound = outbound
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        channel.closeFuture.whenComplete { _ in continuation.finish() }
        closed = stream
    }

    /// Sends frames.
    ///
    /// - Throws: If the connection is gone.
    func write(_ frames: [WebSocketFrame]) async throws {
        for frame in frames { try await outbound.write(frame) }
    }

    /// Sends last words; that nobody may be left to hear them is no fault.
    func sendIfPossible(_ frames: [WebSocketFrame]) async {
        do { try await write(frames) } catch { return }
    }

    /// Answers a ping (RFC 6455, 5.5.2).
    func pong(_ data: ByteBuffer) async {
        await sendIfPossible([WebSocketFrame(fin: true, opcode: .pong, data: data)])
    }

    /// Pings until cancelled or the connection is gone.
    func keepAlive() async throws {
        while true {
            try await Task.sleep(for: Self.pingInterval)
            try await write([WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer())])
        }
    }

    /// Begins the closing handshake.
    func close(_ code: WebSocketErrorCode) async {
        guard closeSent.set() else { return }
        var data = ByteBuffer()
        data.write(webSocketErrorCode: code)
        await sendIfPossible([WebSocketFrame(fin: true, opcode: .connectionClose, data: data)])
    }

    /// Completes the closing handshake that the client began, with its own code (RFC 6455, 5.5.1).
    func acknowledgeClose(_ data: ByteBuffer) async {
        guard closeSent.set() else { return }
        await sendIfPossible([WebSocketFrame(fin: true, opcode: .connectionClose, data: data)])
    }

    /// Gives the client time to complete the closing handshake; its end of the connection ends the session before.
    func waitForPeersClose() async throws {
        try await Task.sleep(for: Self.closePatience)
    }

    /// Returns when the connection is gone.
    func waitUntilGone() async {
        for await _ in closed {}
    }
}

/// A flag that is set once.
final class SharedFlag: Sendable {
    private let value = Mutex(false)

    /// Sets it; false if it was set before.
    func set() -> Bool {
        value.withLock { value in
            defer { value = true }
            return !value
        }
    }
}

/// Closes a connection whose peer has closed its side.
///
/// A WebSocket has no half-closed state, and while a command does not read its stdin nobody would notice the end of
/// the stream behind it.
final class HangUpHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
