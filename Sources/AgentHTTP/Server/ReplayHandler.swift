import NIOCore
import NIOHTTP1

/// Gives a request that was read before to the handlers behind it.
final class ReplayHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Passes a request on as if it came now; its end is still to come where it isn't complete.
    func replay(_ head: HTTPRequestHead, isComplete: Bool) {
        context?.fireChannelRead(wrapInboundOut(.head(head)))
        if isComplete { context?.fireChannelRead(wrapInboundOut(.end(nil))) }
        context?.fireChannelReadComplete()
    }
}
