import AgentAPI
import AgentCore
import GuestProtocol
import Logging
import NIOCore
import NIOWebSocket

import struct Foundation.Data

/// Serves WebSockets: those of exec, attach and the console, which differ in what is opened only, and of copies.
struct ExecService: Sendable {
    let instances: any InstanceOperations
    let logger: Logger

    /// Whether what is asked for is possible now or soon; why not is told by the plain route.
    func accepts(_ target: SessionTarget) -> Bool {
        switch target.purpose {
        case .exec: (try? ExecRoute(instances: instances).checkState(target.reference)) != nil
        case .attach: (try? AttachRoute(instances: instances).checkState(target.reference)) != nil
        case .console: (try? instances.get(target.reference)) != nil
        case .copy: (try? ExecRoute(instances: instances).checkState(target.reference)) != nil
        }
    }

    /// Runs one session to its end.
    ///
    /// A command is killed when the client leaves or the agent stops.
    func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>,
        target: SessionTarget,
        offered: [String],
        peer: Peer
    ) async {
        if target.purpose == .copy {
            let copies = CopyService(instances: instances, logger: logger)
            return await copies.serve(
                channel,
                reference: target.reference,
                framing: .init(offered: offered),
                peer: peer
            )
        }
        let framing = ExecFraming(offered: offered)
        await SocketSession.serve(channel, peer: peer, logger: logger) { messages, socket in
            await run(messages, socket, target, framing, peer)
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
            open = try request(try await SocketSession.first(messages), target)
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
        let (instances, reference) = (instances, target.reference)
        do {
            switch target.purpose {
            case .exec:
                let body = try ExecBody(try APIJSON.fields(Data(bytes)))
                let (request, patience) = (try ExecRequest(body), SocketSession.patience(body.waitForAgent))
                return { try await instances.exec(reference, request, patience: patience) }
            case .attach(let includesLog):
                let body = try AttachBody(try APIJSON.fields(Data(bytes)))
                let patience = SocketSession.patience(body.waitForAgent)
                var request = AttachInstanceRequest(includesLog: includesLog)
                if let rows = body.rows, let columns = body.cols {
                    request.size = TerminalSize(rows: rows, columns: columns)
                }
                return { [request] in try await instances.attach(reference, request, patience: patience) }
            case .console(let tail):
                // Whoever has a terminal may say how large it is; it makes no difference.
                _ = try AttachBody(try APIJSON.fields(Data(bytes)))
                return { try await instances.console(reference, tail: tail) }
            case .copy:
                throw AgentError(.internal, "a copy is no command")
            }
        } catch let error as FieldError {
            throw error.agentError
        }
    }
}
