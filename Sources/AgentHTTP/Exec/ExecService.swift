import AgentAPI
import AgentCore
import GuestProtocol
import Logging
import NIOCore
import NIOWebSocket
import ServiceLifecycle

import struct Foundation.Data

/// Serves exec WebSockets.
struct ExecService: Sendable {
    /// How long an instance that is still starting is waited for where the client doesn't say.
    private static let defaultPatience = Duration.seconds(10)
    private static let longestPatience = Duration.seconds(300)
    private static let firstFramePatience = Duration.seconds(30)

    let instances: any InstanceOperations
    let logger: Logger

    /// Whether an instance can run a command now or soon; why not is told by the plain route.
    func accepts(_ reference: String) -> Bool {
        (try? ExecRoute(instances: instances).checkState(reference)) != nil
    }

    /// Runs one session to its end.
    ///
    /// The command is killed when the client leaves or the agent stops.
    func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>,
        reference: String,
        framing: ExecFraming,
        peer: Peer
    ) async {
        do {
            try await channel.executeThenClose { inbound, outbound in
                let socket = ExecSocket(channel: channel.channel, outbound: outbound)
                let messages = Handoff<MessageReader.Message>()
                // Whichever ends first ends the session: the client's close, the connection, or the command.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await Self.read(inbound, socket, messages) }
                    group.addTask { try await socket.keepAlive() }
                    group.addTask { await socket.waitUntilGone() }
                    group.addTask {
                        _ = await cancelWhenGracefulShutdown { await run(messages, socket, reference, framing, peer) }
                        messages.finish()
                        await socket.close(.normalClosure)
                        try await socket.waitForPeersClose()
                    }
                    _ = try await group.next()
                    group.cancelAll()
                }
            }
        } catch {
            logger.debug("exec connection ended", metadata: ["peer": "\(peer.description)", "error": "\(error)"])
        }
    }

    private func run(
        _ messages: Handoff<MessageReader.Message>,
        _ socket: ExecSocket,
        _ reference: String,
        _ framing: ExecFraming,
        _ peer: Peer
    ) async {
        let request: ExecRequest
        let patience: Duration
        do {
            (request, patience) = try await Self.request(messages)
        } catch {
            await socket.sendIfPossible([framing.refusal(AgentError.wrapping(error, "the first frame did not come"))])
            return
        }
        do {
            let process = try await instances.exec(reference, request, patience: patience)
            let outcome = await ExecSession(process: process, messages: messages, socket: socket, framing: framing)
                .run()
            logger.info(
                "exec ended",
                metadata: ["instance": "\(reference)", "peer": "\(peer.description)", "outcome": "\(outcome)"]
            )
        } catch {
            await socket.sendIfPossible(framing.failure(AgentError.wrapping(error, "the command could not be run")))
        }
    }

    /// The first message, which says what to run.
    private static func request(
        _ messages: Handoff<MessageReader.Message>
    ) async throws -> (ExecRequest, Duration) {
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
        let bytes: [UInt8]
        switch first {
        case .text(let text): bytes = text
        case .binary(let data, _): bytes = data
        default:
            throw AgentError(.invalidArgument, code: "invalid_request", "the first frame must say what to run, as JSON")
        }
        do {
            let body = try ExecBody(try APIJSON.fields(Data(bytes)))
            let patience = body.waitForAgent.map { min(.seconds($0), longestPatience) } ?? defaultPatience
            return (try ExecRequest(body), patience)
        } catch let error as FieldError {
            throw error.agentError
        }
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
