import AgentAPI
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

/// Opens WebSockets to the agent.
enum AgentSocket {
    private enum Handshake: Sendable {
        case open(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, subprotocol: String?)
        case refused(NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>)
    }

    /// Connects to a path.
    ///
    /// - Parameters:
    ///   - endpoint: The agent.
    ///   - path: What to ask for.
    ///   - subprotocol: What is spoken.
    /// - Returns: The connection, to be run once.
    /// - Throws: ``AgentRefusal`` with the agent's reason.
    static func open(
        _ endpoint: Endpoint,
        path: String,
        subprotocol: String
    ) async throws -> NIOAsyncChannel<WebSocketFrame, WebSocketFrame> {
        try SocketProbe.check(endpoint)
        let handshake: EventLoopFuture<Handshake>
        do {
            handshake = try await connect(endpoint, path, subprotocol)
        } catch let error as CommandError {
            throw error
        } catch {
            throw AgentClient.unreachable(endpoint, error)
        }
        switch try await handshake.get() {
        case .open(let channel, let agreed):
            guard agreed == subprotocol else {
                try await channel.channel.close()
                throw CommandError("the agent does not speak \(subprotocol)", remedy: "use a newer agent")
            }
            return channel
        case .refused(let channel):
            throw try await refusal(channel, endpoint)
        }
    }

    /// A client masks what it sends (RFC 6455, 5.3).
    static func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: data)
    }

    private static func connect(_ endpoint: Endpoint, _ path: String, _ subprotocol: String) async throws
        -> EventLoopFuture<
            Handshake
        >
    {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
        switch endpoint.transport {
        case .socket(let socket):
            return try await bootstrap.connect(unixDomainSocketPath: socket) { channel in
                channel.eventLoop.makeCompletedFuture { try upgrade(channel, endpoint, path, subprotocol) }
            }
        case .network(let host, let port, let isSecure):
            let tls = isSecure ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil
            return try await bootstrap.connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host)
                        )
                    }
                    return try upgrade(channel, endpoint, path, subprotocol)
                }
            }
        }
    }

    private static func upgrade(
        _ channel: any Channel,
        _ endpoint: Endpoint,
        _ path: String,
        _ subprotocol: String
    ) throws -> EventLoopFuture<Handshake> {
        var headers: HTTPHeaders = [
            "Host": endpoint.authority, "User-Agent": "hypeman/\(Version.current)",
            "Sec-WebSocket-Protocol": subprotocol,
        ]
        if let token = endpoint.token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        let upgrader = NIOTypedWebSocketClientUpgrader<Handshake>(
            maxFrameSize: ExecProtocol.largestFrame,
            upgradePipelineHandler: { channel, response in
                channel.eventLoop.makeCompletedFuture {
                    .open(
                        try NIOAsyncChannel(wrappingChannelSynchronously: channel),
                        subprotocol: response.headers.first(name: "Sec-WebSocket-Protocol")
                    )
                }
            }
        )
        let configuration = NIOUpgradableHTTPClientPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: HTTPRequestHead(
                    version: .http1_1,
                    method: .GET,
                    uri: endpoint.prefix + path,
                    headers: headers
                ),
                upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        .refused(try NIOAsyncChannel(wrappingChannelSynchronously: channel))
                    }
                }
            )
        )
        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: configuration)
    }

    private static func refusal(
        _ channel: NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>,
        _ endpoint: Endpoint
    ) async throws -> any Error {
        try await channel.executeThenClose { inbound, _ in
            var status = 0
            var body = Data()
            for try await part in inbound {
                switch part {
                case .head(let head): status = Int(head.status.code)
                case .body(let bytes): if body.count < 1 << 20 { body.append(contentsOf: bytes.readableBytesView) }
                case .end: return AgentClient.refusal(status, body, endpoint)
                }
            }
            return AgentClient.refusal(status, body, endpoint)
        }
    }
}
