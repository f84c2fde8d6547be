import AgentCore
import GuestProtocol
import GuestTransport
import NIOCore
import NIOHPACK
import NIOHTTP2

/// One request and its answer.
///
/// Ends, reset if it must be, when nobody holds it any more.
final class GuestStream: Sendable {
    private let channel: any Channel
    private let handler: GuestStreamHandler

    init(channel: any Channel, handler: GuestStreamHandler) {
        self.channel = channel
        self.handler = handler
    }

    deinit {
        channel.close(promise: nil)
    }

    /// The answer's status.
    func status() async throws -> Int {
        try await waiting { try await self.handler.status.get() }
    }

    /// The next part of the answer's body, nil at its end.
    ///
    /// One caller at a time.
    func read() async throws -> ByteBuffer? {
        try await waiting { try await self.handler.next().get() }
    }

    /// Whether something of the answer's body has come that was not read.
    var hasAnswer: Bool { handler.hasAnswer }

    /// Sends a part of the request's body; returns when HTTP/2's windows have let it through.
    func write(_ bytes: ByteBuffer) async throws {
        try await send(.data(.init(data: .byteBuffer(bytes))))
    }

    /// Sends input for a process, in frames that are small enough for a signal not to wait long behind one.
    ///
    /// - Parameters:
    ///   - bytes: The input.
    ///   - check: Throws once it can no longer be taken; also asked when sending fails, to say it better.
    /// - Throws: What `check` does; `unavailable` if the connection is lost.
    func writeInput(_ bytes: [UInt8], check: () throws -> Void) async throws {
        var rest = bytes[...]
        repeat {
            try check()
            let part = rest.prefix(64 << 10)
            do {
                try await write(ByteBuffer(frame: .stdin, payload: part))
            } catch {
                // The process may have ended while this waited.
                try check()
                throw error
            }
            rest = rest.dropFirst(part.count)
        } while !rest.isEmpty
    }

    /// Ends the request's body.
    func finish() {
        let end = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
        channel.writeAndFlush(end, promise: nil)
    }

    /// Ends the request at once: the guest stops working on it.
    ///
    /// Idempotent.
    func reset() {
        channel.close(promise: nil)
    }

    func send(_ payload: HTTP2Frame.FramePayload) async throws {
        try await waiting { try await self.channel.writeAndFlush(payload).get() }
    }

    /// Reads and writes of a stream end when it does; a caller that is cancelled ends it.
    private func waiting<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        do {
            return try await withTaskCancellationHandler {
                try await body()
            } onCancel: {
                channel.close(promise: nil)
            }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw GuestStream.lost(error)
        }
    }

    /// The one error for every way in which a connection to a guest can end.
    static func lost(_ error: any Error) -> AgentError {
        AgentError(.unavailable, "the connection to the guest was lost", cause: error)
    }
}
