import AgentAPI
import Foundation
import NIOCore
import NIOWebSocket

/// The WebSocket of one exec or attach.
struct ExecConnection: Sendable {
    /// How it came to an end.
    enum End: Sendable {
        /// The other side's last word.
        case outcome(ExecOutcome)
        /// The way out was typed.
        case detached
    }

    private let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
    private let lost: CommandError

    /// Connects to an instance's exec or attach.
    ///
    /// - Parameters:
    ///   - endpoint: The agent.
    ///   - path: What to ask for.
    ///   - whenLost: What to say when the connection is lost later.
    /// - Returns: The connection, to be run once.
    /// - Throws: ``AgentRefusal`` with the agent's reason.
    static func open(_ endpoint: Endpoint, path: String, whenLost: String) async throws -> ExecConnection {
        ExecConnection(
            channel: try await AgentSocket.open(endpoint, path: path, subprotocol: ExecProtocol.name),
            lost: CommandError("the connection to the agent was lost", remedy: whenLost)
        )
    }

    /// Carries input and output until the other side ends.
    ///
    /// - Parameters:
    ///   - body: The first frame.
    ///   - session: Where output goes and input comes from.
    ///   - detachKeys: What in the input is the way out, if anything.
    ///   - controls: Said before anything else.
    /// - Returns: How it ended.
    /// - Throws: If the connection is lost before that.
    func run(
        _ body: some Encodable & Sendable,
        _ session: ExecTerminal,
        detachKeys: DetachKeys? = nil,
        controls: [ExecControl] = []
    ) async throws -> End {
        try await channel.executeThenClose { inbound, outbound in
            let request = try APIJSON.encode(body)
            try await outbound.write(AgentSocket.frame(.text, ByteBuffer(bytes: request)))
            for control in controls { try await outbound.write(Self.control(control)) }
            return try await withThrowingTaskGroup(of: End?.self) { group in
                group.addTask { try await receive(inbound, outbound, session) }
                if session.sendsInput {
                    group.addTask { try await Self.send(session.input, outbound, detachKeys) }
                }
                group.addTask {
                    for await control in session.controls { try await outbound.write(Self.control(control)) }
                    return nil
                }
                defer { group.cancelAll() }
                while let end = try await group.next() {
                    if let end { return end }
                }
                throw lost
            }
        }
    }

    private static func send(
        _ input: InputReader,
        _ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>,
        _ detachKeys: DetachKeys?
    ) async throws -> End? {
        var keys = detachKeys
        while let typed = await input.read(upTo: 64 << 10) {
            let (bytes, detaches) = keys?.take(typed) ?? (typed, false)
            if !bytes.isEmpty {
                var buffer = ByteBuffer(integer: ExecProtocol.stdin)
                buffer.writeBytes(bytes)
                try await outbound.write(AgentSocket.frame(.binary, buffer))
            }
            guard !detaches else {
                var data = ByteBuffer()
                data.write(webSocketErrorCode: .normalClosure)
                try await outbound.write(AgentSocket.frame(.connectionClose, data))
                return .detached
            }
        }
        if !Task.isCancelled { try await outbound.write(control(.stdinEnd)) }
        return nil
    }

    private func receive(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>,
        _ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>,
        _ session: ExecTerminal
    ) async throws -> End {
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
                try await outbound.write(AgentSocket.frame(.pong, data))
            case .connectionClose:
                try await outbound.write(AgentSocket.frame(.connectionClose, data))
                guard let outcome else { break }
                return .outcome(outcome)
            default:
                continue
            }
        }
        guard let outcome else { throw lost }
        return .outcome(outcome)
    }

    private static func control(_ control: ExecControl) throws -> WebSocketFrame {
        AgentSocket.frame(.text, ByteBuffer(bytes: try APIJSON.encode(control)))
    }

    /// A client masks what it sends (RFC 6455, 5.3).
    private static func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: data)
    }
}
