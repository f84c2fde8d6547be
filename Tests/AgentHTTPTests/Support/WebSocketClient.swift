import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import SystemPackage

/// A WebSocket client that says exactly what a test wants.
struct WebSocketClient {
    enum Handshake: Sendable {
        case open(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>)
        case refused(Int)
    }

    typealias Inbound = NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator

    let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>
    let channel: any Channel

    /// Connects to an instance's exec or attach.
    ///
    /// - Returns: The status of a refusal, nil if `body` was run.
    @discardableResult
    static func with(
        _ server: TestServer,
        instance: String = "a",
        path: String = "exec",
        subprotocol: String? = nil,
        _ body: (WebSocketClient, inout Inbound) async throws -> Void
    ) async throws -> Int? {
        var headers: HTTPHeaders = ["Host": "localhost"]
        if let subprotocol { headers.add(name: "Sec-WebSocket-Protocol", value: subprotocol) }
        let request = HTTPRequestHead(
            version: .http1_1,
            method: .GET,
            uri: "/instances/\(instance)/\(path)",
            headers: headers
        )
        let handshake = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(unixDomainSocketPath: server.socket.string) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOTypedWebSocketClientUpgrader<Handshake>(maxFrameSize: 1 << 21) { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            .open(try NIOAsyncChannel(wrappingChannelSynchronously: channel))
                        }
                    }
                    return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: .init(
                            upgradeConfiguration: .init(upgradeRequestHead: request, upgraders: [upgrader]) { channel in
                                channel.eventLoop.makeCompletedFuture {
                                    channel.close(promise: nil)
                                    return .refused(0)
                                }
                            }
                        )
                    )
                }
            }
        switch try await handshake.get() {
        case .refused(let status): return status
        case .open(let channel):
            try await channel.executeThenClose { inbound, outbound in
                var iterator = inbound.makeAsyncIterator()
                try await body(WebSocketClient(outbound: outbound, channel: channel.channel), &iterator)
            }
            return nil
        }
    }

    func send(text: String, isLast: Bool = true) async throws {
        try await send(.text, ByteBuffer(string: text), isLast)
    }

    func send(binary: [UInt8]) async throws { try await send(.binary, ByteBuffer(bytes: binary), true) }

    func send(_ opcode: WebSocketOpcode, _ data: ByteBuffer, _ isLast: Bool) async throws {
        try await outbound.write(WebSocketFrame(fin: isLast, opcode: opcode, maskKey: .random(), data: data))
    }
}

/// A frame in a form that tests compare.
enum Frame: Hashable {
    case text(String)
    case binary([UInt8])
    case ping
    case pong(String)
    case close(Int)

    init(_ frame: WebSocketFrame) {
        var data = frame.unmaskedData
        switch frame.opcode {
        case .text: self = .text(String(buffer: data))
        case .ping: self = .ping
        case .pong: self = .pong(String(buffer: data))
        case .connectionClose: self = .close(Int(data.readInteger(as: UInt16.self) ?? 0))
        default: self = .binary(Array(data.readableBytesView))
        }
    }
}
