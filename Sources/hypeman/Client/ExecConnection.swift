import AgentAPI
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

/// The WebSocket of one exec.
struct ExecConnection: Sendable {
    private enum Handshake: Sendable {
        case open(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, subprotocol: String?)
        case refused(NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>)
    }

    private let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    /// Connects to an instance's exec.
    ///
    /// - Throws: ``AgentRefusal`` with the agent's reason.
    static func open(_ endpoint: Endpoint, instance: String) async throws -> ExecConnection {
        try SocketProbe.check(endpoint)
        let handshake: EventLoopFuture<Handshake>
        do {
            handshake = try await connect(endpoint, path: AgentClient.path(instance: instance, "/exec"))
        } catch let error as CommandError {
            throw error
        } catch {
            throw AgentClient.unreachable(endpoint, error)
        }
        switch try await handshake.get() {
        case .open(let channel, let subprotocol):
            guard subprotocol == ExecProtocol.name else {
                try await channel.channel.close()
                throw CommandError("the agent does not speak \(ExecProtocol.name)", remedy: "use a newer agent")
            }
            return ExecConnection(channel: channel)
        case .refused(let channel):
            throw try await refusal(channel, endpoint)
        }
    }

    /// Runs the command.
    ///
    /// - Parameters:
    ///   - body: What to run.
    ///   - session: Where its output goes and its input comes from.
    /// - Returns: How it ended.
    /// - Throws: If the connection is lost before that.
    func run(_ body: ExecBody, _ session: ExecTerminal) async throws -> ExecOutcome {
        try await channel.executeThenClose { inbound, outbound in
            let request = try APIJSON.encode(body)
            try await outbound.write(Self.frame(.text, ByteBuffer(bytes: request)))
            return try await withThrowingTaskGroup(of: ExecOutcome?.self) { group in
                group.addTask { try await Self.receive(inbound, outbound, session) }
                if body.stdin == true {
                    group.addTask {
                        while let bytes = await session.input.read(upTo: 64 << 10) {
                            var buffer = ByteBuffer(integer: ExecProtocol.stdin)
                            buffer.writeBytes(bytes)
                            try await outbound.write(Self.frame(.binary, buffer))
                        }
                        if !Task.isCancelled { try await outbound.write(Self.control(.stdinEnd)) }
                        return nil
                    }
                }
                group.addTask {
                    for await control in session.controls { try await outbound.write(Self.control(control)) }
                    return nil
                }
                defer { group.cancelAll() }
                while let outcome = try await group.next() {
                    if let outcome { return outcome }
                }
                throw CommandError("the connection to the agent was lost", remedy: "the command was killed with it")
            }
        }
    }

    private static func receive(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>,
        _ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>,
        _ session: ExecTerminal
    ) async throws -> ExecOutcome {
        var outcome: ExecOutcome?
        for try await frame in inbound {
            var data = frame.unmaskedData
            switch frame.opcode {
            case .binary:
                guard let stream = data.readInteger(as: UInt8.self) else { continue }
                try await session.write(Array(data.readableBytesView), isError: stream == ExecProtocol.stderr)
            case .text:
                outcome = try APIJSON.decode(ExecOutcome.self, from: Data(data.readableBytesView))
            case .ping:
                try await outbound.write(Self.frame(.pong, data))
            case .connectionClose:
                try await outbound.write(Self.frame(.connectionClose, data))
                guard let outcome else { break }
                return outcome
            default:
                continue
            }
        }
        guard let outcome else {
            throw CommandError("the connection to the agent was lost", remedy: "the command was killed with it")
        }
        return outcome
    }

    private static func control(_ control: ExecControl) throws -> WebSocketFrame {
        frame(.text, ByteBuffer(bytes: try APIJSON.encode(control)))
    }

    /// A client masks what it sends (RFC 6455, 5.3).
    private static func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: data)
    }

    // MARK: Handshake

    private static func connect(_ endpoint: Endpoint, path: String) async throws -> EventLoopFuture<Handshake> {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
        switch endpoint.transport {
        case .socket(let socket):
            return try await bootstrap.connect(unixDomainSocketPath: socket) { channel in
                channel.eventLoop.makeCompletedFuture { try upgrade(channel, endpoint, path) }
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
                    return try upgrade(channel, endpoint, path)
                }
            }
        }
    }

    private static func upgrade(_ channel: any Channel, _ endpoint: Endpoint, _ path: String) throws -> EventLoopFuture<
        Handshake
    > {
        var headers: HTTPHeaders = [
            "Host": endpoint.authority, "User-Agent": "hypeman/\(Version.current)",
            "Sec-WebSocket-Protocol": ExecProtocol.name,
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
