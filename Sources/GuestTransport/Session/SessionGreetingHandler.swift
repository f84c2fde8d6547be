public import NIOCore

/// The host's end of the synchronisation: greets, throws away everything until the answer, then makes room for HTTP/2.
///
/// A greeting can be lost when the guest's end is closed and opened again while it is on its way, so it is repeated, each
/// time with a nonce of its own, and only the answer to the last one counts. The time between repetitions doubles: a slow
/// guest's answer must not always be one greeting behind.
public final class SessionGreetingHandler: ChannelInboundHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    private let secret: String
    private let onAnswer: (any Channel) throws -> Void
    private var matcher: MarkerMatcher?
    private var pause = TimeAmount.seconds(2)
    private var repetition: Scheduled<Void>?

    /// Makes a handler for one connection.
    ///
    /// - Parameters:
    ///   - secret: The session's secret.
    ///   - onAnswer: Called once on the event loop when the session has begun; adds the handlers of HTTP/2.
    public init(secret: String, onAnswer: @escaping (any Channel) throws -> Void) {
        self.secret = secret
        self.onAnswer = onAnswer
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { greet(context: context) }
    }

    public func channelActive(context: ChannelHandlerContext) {
        if matcher == nil { greet(context: context) }
        context.fireChannelActive()
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        repetition?.cancel()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        guard let end = buffer.withUnsafeReadableBytes({ matcher?.advance(over: $0) }) else { return }
        buffer.moveReaderIndex(forwardBy: end)
        repetition?.cancel()
        do {
            try onAnswer(context.channel)
            if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.fireErrorCaught(error)
            context.close(promise: nil)
        }
    }

    private func greet(context: ChannelHandlerContext) {
        let nonce = SessionMarker.freshNonce()
        matcher = MarkerMatcher(pattern: SessionMarker.answer(nonce: nonce))
        let greeting = context.channel.allocator.buffer(bytes: SessionMarker.greeting(secret: secret, nonce: nonce))
        context.writeAndFlush(wrapOutboundOut(greeting), promise: nil)
        repetition = context.eventLoop.assumeIsolated().scheduleTask(in: pause) { self.greet(context: context) }
        pause = min(pause + pause, .seconds(60))
    }
}
