import NIOCore
import NIOHTTP1
import NIOPosix
import SystemPackage

/// An answer of the VMM's as it came.
struct APIResponse: Sendable {
    var status: Int
    var body: ByteBuffer
}

/// One HTTP/1.1 connection to a VMM's API socket, for one request at a time.
final class APIConnection: Sendable {
    private let channel: any Channel
    private let handler: NIOLoopBound<APIConnectionHandler>

    var isActive: Bool { channel.isActive }

    private init(channel: any Channel, handler: NIOLoopBound<APIConnectionHandler>) {
        self.channel = channel
        self.handler = handler
    }

    /// Connects.
    ///
    /// - Throws: `IOError` with ENOENT or ECONNREFUSED while nobody listens.
    static func connect(to socket: FilePath, on group: any EventLoopGroup) async throws -> APIConnection {
        let eventLoop = group.any()
        let channel = try await ClientBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(APIConnectionHandler())
                }
            }
            .connect(unixDomainSocketPath: socket.string)
            .get()
        let handler = try await eventLoop.submit {
            NIOLoopBound(
                try channel.pipeline.syncOperations.handler(type: APIConnectionHandler.self),
                eventLoop: eventLoop
            )
        }.get()
        return APIConnection(channel: channel, handler: handler)
    }

    /// Sends a request and waits for its answer.
    ///
    /// After an error, also when cancelled or late, the connection is closed: what still came would be taken for the
    /// answer to the next request.
    ///
    /// - Throws: `APIConnectionFailure`, `CancellationError`, and what NIO says of bytes that are no HTTP.
    func send(_ head: HTTPRequestHead, _ body: ByteBuffer?, deadline: Duration) async throws -> APIResponse {
        let promise = channel.eventLoop.makePromise(of: APIResponse.self)
        let (handler, channel) = (handler, channel)
        channel.eventLoop.execute {
            let timer = channel.eventLoop.scheduleTask(in: TimeAmount(deadline)) {
                promise.fail(APIConnectionFailure.late)
            }
            promise.futureResult.whenComplete { result in
                timer.cancel()
                if case .failure = result { channel.close(promise: nil) }
            }
            handler.value.send(head, body, promise)
        }
        return try await withTaskCancellationHandler {
            try await promise.futureResult.get()
        } onCancel: {
            promise.fail(CancellationError())
        }
    }

    func close() {
        channel.close(promise: nil)
    }
}

/// Why no answer came.
enum APIConnectionFailure: Error, CustomStringConvertible {
    case late
    case lost
    case tooLong
    case unasked

    var description: String {
        switch self {
        case .late: "no answer came in time"
        case .lost: "it was closed before the answer was whole"
        case .tooLong: "the answer is longer than \(APIConnectionHandler.maximumBody) bytes"
        case .unasked: "something came that nobody had asked for"
        }
    }
}

/// Puts the parts of an answer together.
///
/// Lives on its event loop.
final class APIConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// Of an answer; vm.info, the longest, has a few KiB for each device.
    static let maximumBody = 1 << 20

    private var context: ChannelHandlerContext?
    private var pending: EventLoopPromise<APIResponse>?
    private var response: (head: HTTPResponseHead, body: ByteBuffer)?

    func send(_ head: HTTPRequestHead, _ body: ByteBuffer?, _ promise: EventLoopPromise<APIResponse>) {
        guard let context, context.channel.isActive, pending == nil else {
            return promise.fail(APIConnectionFailure.lost)
        }
        pending = promise
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if let body { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        // A failed write closes the channel, which fails what is pending.
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        fail(APIConnectionFailure.lost)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard pending != nil else { return errorCaught(context: context, error: APIConnectionFailure.unasked) }
        switch unwrapInboundIn(data) {
        case .head(let head): response = (head, ByteBuffer())
        case .body(var part):
            let length = (response?.body.readableBytes ?? 0) + part.readableBytes
            guard length <= Self.maximumBody else {
                return errorCaught(context: context, error: APIConnectionFailure.tooLong)
            }
            response?.body.writeBuffer(&part)
        case .end:
            guard let (head, body) = response, let promise = pending else { return }
            (response, pending) = (nil, nil)
            promise.succeed(APIResponse(status: Int(head.status.code), body: body))
            if !head.isKeepAlive { context.close(promise: nil) }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(APIConnectionFailure.lost)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail((error as? HTTPParserError) == .invalidEOFState ? APIConnectionFailure.lost : error)
        context.close(promise: nil)
    }

    private func fail(_ error: any Error) {
        let promise = pending
        (response, pending) = (nil, nil)
        promise?.fail(error)
    }
}
