import NIOCore
import NIOHPACK
import NIOHTTP2
import Synchronization

/// Takes in an answer as fast as it is read: what is not, stays in the guest once HTTP/2's window is used up.
// Sendable although it has state: that is touched on the event loop only.
final class GuestStreamHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTP2Frame.FramePayload

    /// The answer's status.
    let status: EventLoopFuture<Int>

    /// Whether something of the body is there, or its end.
    ///
    /// Callable from anywhere.
    var hasAnswer: Bool { answered.load(ordering: .relaxed) }

    private let answered = Atomic(false)
    private let eventLoop: any EventLoop
    private let statusPromise: EventLoopPromise<Int>
    private var context: ChannelHandlerContext?
    private var chunks = CircularBuffer<ByteBuffer>()
    private var reader: EventLoopPromise<ByteBuffer?>?
    private var end: Result<Void, any Error>?

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        statusPromise = eventLoop.makePromise(of: Int.self)
        status = statusPromise.futureResult
    }

    /// The next part of the body, nil at its end.
    ///
    /// Callable from anywhere, one call at a time.
    func next() -> EventLoopFuture<ByteBuffer?> {
        eventLoop.flatSubmit { [self] in
            let promise = eventLoop.makePromise(of: ByteBuffer?.self)
            reader?.fail(ChannelError.operationUnsupported)
            reader = promise
            deliver()
            return promise.futureResult
        }
    }

    /// For a stream that was never opened.
    ///
    /// Callable from anywhere.
    func fail(_ error: any Error) {
        eventLoop.execute { self.finish(.failure(error)) }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { context.read() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers):
            // Further headers are informational ones and trailers, which this protocol does not use.
            if let text = headers.headers.first(name: ":status"), let status = Int(text) {
                statusPromise.succeed(status)
            }
            if headers.endStream { finish(.success(())) }
        case .data(let data):
            if case .byteBuffer(let bytes) = data.data, bytes.readableBytes > 0 { chunks.append(bytes) }
            answered.store(true, ordering: .relaxed)
            if data.endStream { finish(.success(())) } else { deliver() }
        default: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if chunks.isEmpty, end == nil { context.read() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        finish(.failure(ChannelError.eof))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(.failure(error))
        context.close(promise: nil)
    }

    private func finish(_ result: Result<Void, any Error>) {
        if end == nil { end = result }
        statusPromise.fail(ChannelError.eof)
        deliver()
    }

    private func deliver() {
        guard let reader else { return }
        if let chunk = chunks.popFirst() {
            self.reader = nil
            reader.succeed(chunk)
            if chunks.isEmpty, end == nil { context?.read() }
        } else if let end {
            self.reader = nil
            reader.completeWith(end.map { nil })
        }
    }
}
