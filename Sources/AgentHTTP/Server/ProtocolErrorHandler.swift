import AgentAPI
import Foundation
import NIOCore
import NIOHTTP1

/// Answers what is not HTTP with a JSON error, and closes.
///
/// In the middle of a request's body the error goes on instead, to whoever reads the body.
final class ProtocolErrorHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// How long a peer may take to read the answer.
    private static let lingering = TimeAmount.seconds(2)

    /// The first request, if it asked for an upgrade, and whether its end has come: NIO's upgrade handler keeps neither
    /// when the upgrade is refused, and the request must be answered all the same.
    private(set) var upgradeRequest: (head: HTTPRequestHead, isComplete: Bool)?

    private var requestsSeen = 0
    private var requestsInFlight = 0
    private var isClosing = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            requestsInFlight += 1
            requestsSeen += 1
            if requestsSeen == 1, head.headers.contains(name: "Upgrade") { upgradeRequest = (head, false) }
        case .end:
            if requestsSeen == 1 { upgradeRequest?.isComplete = true }
        case .body:
            break
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) { requestsInFlight -= 1 }
        context.write(data, promise: promise)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError, requestsInFlight == 0 else {
            context.fireErrorCaught(error)
            return
        }
        guard !isClosing else { return }
        isClosing = true
        let isTooLarge = error == .headerOverflow
        let response = ErrorResponse(
            code: isTooLarge ? "headers_too_large" : "bad_request",
            message: isTooLarge ? "the request's head is too large" : "this is not an HTTP/1.1 request"
        )
        let body = (try? APIJSON.encode(response)) ?? Data()
        let head = HTTPResponseHead(
            version: .http1_1,
            status: isTooLarge ? .requestHeaderFieldsTooLarge : .badRequest,
            headers: ["Content-Type": "application/json", "Content-Length": "\(body.count)", "Connection": "close"]
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        // What the peer still sends is thrown away for a moment: closing at once would reset the connection, and the
        // answer might be lost with it (RFC 9112, 9.6).
        context.close(mode: .output, promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingering) { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isClosing, case ChannelEvent.inputClosed? = event as? ChannelEvent {
            context.close(promise: nil)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }
}
