import AgentCore
import Logging
import NIOCore
import NIOWebSocket
import ServiceLifecycle

/// A WebSocket from its handshake to its end, whatever it is for.
enum SocketSession {
    private static let firstFramePatience = Duration.seconds(30)

    /// Runs `body` with the client's messages, which come at its pace, and closes the connection after it.
    ///
    /// Whichever ends first ends the session: the client's close, the connection, `body`, or the agent.
    static func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>,
        peer: Peer,
        logger: Logger,
        _ body: @escaping @Sendable (Handoff<MessageReader.Message>, ExecSocket) async -> Void
    ) async {
        do {
            try await channel.executeThenClose { inbound, outbound in
                let socket = ExecSocket(channel: channel.channel, outbound: outbound)
                let messages = Handoff<MessageReader.Message>()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await Self.read(inbound, socket, messages) }
                    group.addTask { try await socket.keepAlive() }
                    group.addTask { await socket.waitUntilGone() }
                    group.addTask {
                        _ = await cancelWhenGracefulShutdown { await body(messages, socket) }
                        messages.finish()
                        await socket.close(.normalClosure)
                        try await socket.waitForPeersClose()
                    }
                    _ = try await group.next()
                    group.cancelAll()
                }
            }
        } catch {
            logger.debug("session's connection ended", metadata: ["peer": "\(peer.description)", "error": "\(error)"])
        }
    }

    /// The first message, which says what is wanted.
    static func first(_ messages: Handoff<MessageReader.Message>) async throws -> [UInt8] {
        let first = await withTaskGroup(of: MessageReader.Message?.self) { group in
            group.addTask { await messages.next() }
            group.addTask {
                // Cancelled as soon as the message is there.
                try? await Task.sleep(for: firstFramePatience)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        guard let first else { throw CancellationError() }
        switch first {
        case .text(let text): return text
        case .binary(let data, _): return data
        default:
            throw AgentError(
                .invalidArgument,
                code: "invalid_request",
                "the first frame must say what is wanted, as JSON"
            )
        }
    }

    /// How long an instance that is still starting is waited for.
    static func patience(_ seconds: Int?) -> Duration {
        StartPatience.bounded(seconds.map { .seconds($0) })
    }

    /// Reads frames until the client closes: pings are answered here, messages go to the session at its pace.
    private static func read(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>,
        _ socket: ExecSocket,
        _ messages: Handoff<MessageReader.Message>
    ) async {
        defer { messages.finish() }
        var reader = MessageReader()
        do {
            for try await frame in inbound {
                guard let message = try reader.take(frame) else { continue }
                switch message {
                case .ping(let data): await socket.pong(data)
                case .pong: continue
                case .close(let data):
                    await socket.acknowledgeClose(data)
                    return
                case .text, .binary: await messages.send(message)
                }
            }
        } catch let error as AgentError {
            await socket.close(error.code == "message_too_large" ? .messageTooLarge : .protocolError)
        } catch {
            // The connection broke; the end of the messages says so.
            return
        }
    }
}
