import AgentAPI
import AgentCore
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOWebSocket

/// A connection of the agent's: HTTP/1.1, or a WebSocket if its first request asks for one.
struct AgentChannel: ServerChildChannel {
    /// What a connection turned out to be.
    enum Conversation: Sendable {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
        case session(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, SessionTarget, offered: [String])
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let peer: Peer
        let conversation: EventLoopFuture<Conversation>
    }

    /// From a connection's start to its first request's head.
    private static let negotiationPatience = TimeAmount.seconds(30)
    /// Without a byte while a request is expected or under way.
    private static let idleTimeout = Duration.seconds(120)

    let isUnixSocket: Bool
    let responder: Responder
    let exec: ExecService

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let peer =
            isUnixSocket
            ? Peer.ofUnixSocket(channel)
            : channel.eventLoop.makeSucceededFuture(.network(channel.remoteAddress?.ipAddress ?? "unknown"))
        return peer.flatMapThrowing { peer in
            if !isUnixSocket {
                // A client that vanished without a word is noticed, however long a log stays silent.
                _ = channel.setOption(.socketOption(.so_keepalive), value: 1)
            }
            let conversation = try configure(channel, peer, logger)
            return Value(channel: channel, peer: peer, conversation: conversation)
        }
    }

    func handle(value: Value, logger: Logger) async {
        do {
            switch try await value.conversation.get() {
            case .http(let channel):
                let responder = responder
                let peer = value.peer
                let http = HTTP1Channel(responder: { request, writer, _ in
                    try await responder.respond(to: request, from: peer, writer: writer)
                })
                await http.handle(value: channel, logger: logger)
            case .session(let channel, let target, let offered):
                await exec.serve(channel, target: target, offered: offered, peer: value.peer)
            }
        } catch {
            // The peer left, or was told what is wrong, before its first request was complete.
            value.channel.close(promise: nil)
            logger.debug("connection ended", metadata: ["peer": "\(value.peer.description)", "error": "\(error)"])
        }
    }

    private func configure(
        _ channel: any Channel,
        _ peer: Peer,
        _ logger: Logger
    ) throws -> EventLoopFuture<Conversation> {
        let pipeline = channel.pipeline.syncOperations
        let negotiation = NegotiationGuard(patience: Self.negotiationPatience)
        let encoder = HTTPResponseEncoder()
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 32 << 10
        limits.maxHeaderListSize = 64 << 10
        limits.maxHeaderFieldCount = 100
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)
        )
        let errors = ProtocolErrorHandler()
        try pipeline.addHandlers([negotiation, encoder, decoder, errors])
        let bound = NIOLoopBound(negotiation, eventLoop: channel.eventLoop)
        let boundErrors = NIOLoopBound(errors, eventLoop: channel.eventLoop)
        let upgrade = NIOTypedHTTPServerUpgradeHandler(
            httpEncoder: encoder,
            extraHTTPHandlers: [decoder, errors],
            upgradeConfiguration: NIOTypedHTTPServerUpgradeConfiguration(
                upgraders: [upgrader(peer, bound)],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        channel.pipeline.syncOperations.removeHandler(bound.value, promise: nil)
                        return try serveHTTP(channel, refused: boundErrors.value.upgradeRequest, logger)
                    }
                }
            )
        )
        try pipeline.addHandler(upgrade)
        return upgrade.upgradeResultFuture
    }

    private func serveHTTP(
        _ channel: any Channel,
        refused: (head: HTTPRequestHead, isComplete: Bool)?,
        _ logger: Logger
    ) throws -> Conversation {
        let pipeline = channel.pipeline.syncOperations
        let replay = ReplayHandler()
        try pipeline.addHandler(replay)
        try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
        try pipeline.addHandler(HTTPConnectionStateHandler(idleTimeout: Self.idleTimeout, logger: logger))
        let asynchronous = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
            wrappingChannelSynchronously: channel,
            configuration: .init(isOutboundHalfClosureEnabled: true)
        )
        if let refused { replay.replay(refused.head, isComplete: refused.isComplete) }
        return .http(asynchronous)
    }

    private func upgrader(
        _ peer: Peer,
        _ negotiation: NIOLoopBound<NegotiationGuard>
    ) -> NIOTypedWebSocketServerUpgrader<Conversation> {
        let responder = responder
        let exec = exec
        return NIOTypedWebSocketServerUpgrader(
            maxFrameSize: ExecProtocol.largestFrame,
            shouldUpgrade: { channel, head in
                channel.eventLoop.makeFutureWithTask {
                    guard
                        let target = await responder.admitsSession(
                            head.uri,
                            from: peer,
                            authorization: head.headers.first(name: "Authorization")
                        ), exec.accepts(target)
                    else { return nil }
                    return target.responseHeaders(offered: Self.subprotocols(head))
                }
            },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture {
                    channel.pipeline.syncOperations.removeHandler(negotiation.value, promise: nil)
                    try channel.pipeline.syncOperations.addHandler(HangUpHandler(), position: .first)
                    guard let target = responder.session(head.uri) else {
                        throw AgentError(.internal, "a WebSocket was admitted for nothing that there is")
                    }
                    return .session(
                        try NIOAsyncChannel(wrappingChannelSynchronously: channel),
                        target,
                        offered: Self.subprotocols(head)
                    )
                }
            }
        )
    }

    /// Those that a client offers.
    private static func subprotocols(_ head: HTTPRequestHead) -> [String] {
        head.headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init)
    }
}
