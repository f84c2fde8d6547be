import AgentAPI
import Foundation

/// This process's streams, tied to the program of an instance.
struct AttachedProgram: Sendable {
    /// How it came to an end.
    enum End: Sendable {
        case exited(Int32)
        /// The user left; the program goes on.
        case detached
        /// The instance does not run, or not any more.
        case notRunning(String)
    }

    let endpoint: Endpoint
    let instance: String
    let hasTerminal: Bool
    let sendsInput: Bool

    /// Checks that what is typed here can reach a terminal there.
    static func checkTerminal() throws {
        guard StandardStreams.isTerminal(STDIN_FILENO) else {
            throw CommandError("stdin is not a terminal", remedy: "leave -t out")
        }
    }

    /// Carries input and output until the program ends or the user leaves.
    ///
    /// - Parameters:
    ///   - includesLog: Whether to begin with all that the program has written.
    ///   - patience: Seconds to wait for an instance that is still starting.
    /// - Returns: How it ended.
    /// - Throws: The agent's refusal, or if the connection is lost.
    func run(includesLog: Bool, patience: Int? = nil) async throws -> End {
        do {
            let connection = try await ExecConnection.open(
                endpoint,
                path: AgentClient.path(instance: instance, "/attach?logs=\(includesLog)"),
                whenLost: "the program goes on: hypeman attach \(instance)"
            )
            let terminal = try ExecTerminal(hasTerminal: hasTerminal, sendsInput: sendsInput)
            var body = AttachBody()
            body.waitForAgent = patience
            var controls: [ExecControl] = []
            if hasTerminal, let size = TerminalMode.size(STDIN_FILENO) {
                body.rows = size.rows
                body.cols = size.columns
                // A program draws its screen anew when the size has changed, so to somebody who comes back it must.
                if !includesLog {
                    body.rows = min(size.rows + 1, 65_535)
                    controls = [.resize(rows: size.rows, columns: size.columns)]
                }
            }
            let end = try await terminal.whileAttached { [body, controls] in
                try await connection.run(
                    body,
                    terminal,
                    detachKeys: terminal.isRaw ? DetachKeys() : nil,
                    controls: controls
                )
            }
            guard case .outcome(let outcome) = end else { return .detached }
            if outcome.type == "error", outcome.code == "invalid_state" {
                return .notRunning(outcome.message ?? "the instance does not run")
            }
            return .exited(try ExecCommand.status(of: outcome))
        } catch let error as AgentRefusal where error.answer.code == "invalid_state" {
            return .notRunning(error.answer.message)
        }
    }
}
