import AgentAPI
import AgentCore
import GuestProtocol
import Logging
import NIOCore
import NIOWebSocket
import ServiceLifecycle

import struct Foundation.Data

/// Serves the WebSockets of exec, attach and the console, which differ in what is opened only.
struct ExecService: Sendable {
    /// How long an instance that is still starting is waited for where the client doesn't say.
    private static let defaultPatience = Duration.seconds(10)
    private static let longestPatience = Duration.seconds(300)
    private static let firstFramePatience = Duration.seconds(30)

    let instances: any InstanceOperations
    let logger: Logger

    /// Whether what is asked for is possible now or soon; why not is told by the plain route.
    func accepts(_ target: SessionTarget) -> Bool {
        switch target.purpose {
        case .exec: (try? ExecRoute(instances: instances).checkState(target.reference)) != nil
        case .attach: (try? AttachRoute(instances: instances).checkState(target.reference)) != nil
        case .console: (try? instances.get(target.reference)) != nil
        }
    }

    /// Runs one session to its end.
    ///
    /// A command is killed when the client leaves or the agent stops.
    func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>,
        target: SessionTarget,
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
                        _ = await cancelWhenGracefulShutdown { await run(messages, socket, target, framing, peer) }
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
        _ target: SessionTarget,
        _ framing: ExecFraming,
        _ peer: Peer
    ) async {
        let open: @Sendable () async throws -> any GuestConversation
        do {
            open = try request(try await Self.first(messages), target)
        } catch {
            await socket.sendIfPossible([framing.refusal(AgentError.wrapping(error, "the first frame did not come"))])
            return
        }
        do {
            let process = try await open()
            let outcome = await ExecSession(process: process, messages: messages, socket: socket, framing: framing)
                .run()
            logger.info(
                "session ended",
                metadata: [
                    "instance": "\(target.reference)", "for": "\(target.purpose)", "peer": "\(peer.description)",
                    "outcome": "\(outcome)",
                ]
            )
        } catch {
            await socket.sendIfPossible(framing.failure(AgentError.wrapping(error, "the command could not be run")))
        }
    }

    /// What the first message asks for.
    private func request(
        _ bytes: [UInt8],
        _ target: SessionTarget
    ) throws -> @Sendable () async throws -> any GuestConversation {
        func patience(_ seconds: Int?) -> Duration {
            seconds.map { min(.seconds($0), Self.longestPatience) } ?? Self.defaultPatience
        }
        let (instances, reference) = (instances, target.reference)
        do {
            switch target.purpose {
            case .exec:
                let body = try ExecBody(try APIJSON.fields(Data(bytes)))
                let (request, patience) = (try ExecRequest(body), patience(body.waitForAgent))
                return { try await instances.exec(reference, request, patience: patience) }
            case .attach(let includesLog):
                let body = try AttachBody(try APIJSON.fields(Data(bytes)))
                let patience = patience(body.waitForAgent)
                var request = AttachInstanceRequest(includesLog: includesLog)
                if let rows = body.rows, let columns = body.cols {
                    request.size = TerminalSize(rows: rows, columns: columns)
                }
                return { [request] in try await instances.attach(reference, request, patience: patience) }
            case .console(let tail):
                // Whoever has a terminal may say how large it is; it makes no difference.
                _ = try AttachBody(try APIJSON.fields(Data(bytes)))
                return { try await instances.console(reference, tail: tail) }
            }
        } catch let error as FieldError {
            throw error.agentError
        }
    }

    /// The first message, which says what is wanted.
    private static func first(_ messages: Handoff<MessageReader.Message>) async throws -> [UInt8] {
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
