public import NIOCore
public import NIOHTTP2

/// Notices a peer that is gone without a word: pings it (RFC 9113, section 6.7), and closes the connection when a ping
/// stays unanswered.
///
/// A virtio-serial port does not end when the program behind it does.
public final class LivenessHandler: ChannelInboundHandler {
    public typealias InboundIn = HTTP2Frame
    public typealias InboundOut = HTTP2Frame
    public typealias OutboundOut = HTTP2Frame

    /// Why the connection was closed.
    public struct PeerSilent: Error, CustomStringConvertible {
        public var description: String { "the guest did not answer a ping" }
    }

    private let interval: TimeAmount
    private let patience: TimeAmount
    private let onAnswer: (TimeAmount) -> Void
    private var pinged = NIODeadline.distantPast
    private var timer: Scheduled<Void>?

    /// Makes a handler that goes after NIOHTTP2Handler.
    ///
    /// - Parameters:
    ///   - interval: From an answer to the next ping.
    ///   - patience: From a ping to its answer at the latest.
    ///   - onAnswer: Told how long each answer took, on the event loop.
    public init(interval: TimeAmount, patience: TimeAmount, onAnswer: @escaping (TimeAmount) -> Void = { _ in }) {
        self.interval = interval
        self.patience = patience
        self.onAnswer = onAnswer
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { pingLater(context: context) }
    }

    public func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
    }

    public func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        context.fireChannelInactive()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .ping(_, ack: true) = unwrapInboundIn(data).payload {
            onAnswer(NIODeadline.now() - pinged)
            pingLater(context: context)
        }
        context.fireChannelRead(data)
    }

    private func pingLater(context: ChannelHandlerContext) {
        schedule(after: interval, context: context) { [self] in
            let ping = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(), ack: false))
            pinged = .now()
            context.writeAndFlush(wrapOutboundOut(ping), promise: nil)
            schedule(after: patience, context: context) {
                context.fireErrorCaught(PeerSilent())
                context.close(promise: nil)
            }
        }
    }

    private func schedule(after delay: TimeAmount, context: ChannelHandlerContext, _ task: @escaping () -> Void) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: delay) { task() }
    }
}
