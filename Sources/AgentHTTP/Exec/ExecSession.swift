import AgentAPI
import AgentCore
import GuestProtocol
import NIOCore
import NIOWebSocket

/// One command, or an instance's program, between a client and a guest: each direction waits for the other end, so memory stays bounded.
struct ExecSession: Sendable {
    /// How a session ended, for the log.
    enum Outcome: Sendable, Hashable, CustomStringConvertible {
        case exited(Int)
        case clientLeft
        case failed(String)

        var description: String {
            switch self {
            case .exited(let code): "exit \(code)"
            case .clientLeft: "client left"
            case .failed(let reason): reason
            }
        }
    }

    /// The bytes of one frame.
    private static let chunk = 64 << 10

    let process: any GuestConversation
    let messages: Handoff<MessageReader.Message>
    let socket: ExecSocket
    let framing: ExecFraming

    /// Runs until the command ends or the client leaves.
    ///
    /// Nothing holds on to the guest when this returns: a command is dead then.
    func run() async -> Outcome {
        let outcome = await withTaskGroup(of: Outcome.self) { group in
            group.addTask { await feed() }
            group.addTask { await drain() }
            let first = await group.next() ?? .clientLeft
            group.cancelAll()
            return first
        }
        if case .exited = outcome { return outcome }
        // Not in this task: it may be cancelled, and the guest must hear of it all the same.
        let process = process
        await Task { await process.leave() }.value
        return outcome
    }

    /// Client to guest.
    private func feed() async -> Outcome {
        var acceptsInput = true
        while let message = await messages.next() {
            do {
                guard let input = try interpret(message) else { continue }
                switch input {
                case .stdin(let bytes):
                    guard acceptsInput, !bytes.isEmpty else { continue }
                    try await process.write(bytes)
                case .control(.stdinEnd):
                    try await process.closeInput()
                case .control(.resize(let rows, let columns)):
                    try await process.resize(TerminalSize(rows: rows, columns: columns))
                case .control(.signal(let number)):
                    try await process.signal(number)
                }
            } catch let error as FieldError {
                await socket.sendIfPossible([framing.refusal(error.agentError)])
                return .failed(error.message)
            } catch let error as AgentError where error.kind == .invalidState {
                // The command has closed its stdin or ended; its exit is on the way.
                acceptsInput = false
            } catch {
                await socket.sendIfPossible(framing.failure(AgentError.wrapping(error, "the command was lost")))
                return .failed("\(error)")
            }
        }
        return .clientLeft
    }

    private func interpret(_ message: MessageReader.Message) throws(FieldError) -> ExecFraming.Input? {
        switch message {
        case .text(let bytes): try framing.text(bytes)
        case .binary(let bytes, let isFirst): try framing.binary(bytes, isFirst: isFirst)
        case .ping, .pong, .close: nil
        }
    }

    /// Guest to client.
    private func drain() async -> Outcome {
        do {
            for try await event in process.events {
                switch event {
                case .output(let stream, let bytes):
                    for start in Swift.stride(from: 0, to: bytes.count, by: Self.chunk) {
                        let piece = bytes[start..<min(start + Self.chunk, bytes.count)]
                        do { try await socket.write([framing.output(stream, piece)]) } catch { return .clientLeft }
                    }
                case .exited(let exit):
                    await socket.sendIfPossible(framing.exit(exit))
                    return .exited(exit.code)
                }
            }
            throw AgentError(.unavailable, "the connection to the guest was lost before the command ended")
        } catch {
            guard !Task.isCancelled else { return .clientLeft }
            let error = AgentError.wrapping(error, "the command was lost")
            await socket.sendIfPossible(framing.failure(error))
            return .failed(error.message)
        }
    }
}
