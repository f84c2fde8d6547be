import AgentAPI
import Foundation

/// This side of an exec: where input comes from, where output goes, and what else is said to the command.
struct ExecTerminal: Sendable {
    let input: InputReader
    /// Resizes of the terminal, signals to this process.
    let controls: AsyncStream<ExecControl>

    /// The process's own streams.
    ///
    /// - Parameter isTerminal: Whether the command has a terminal of its own; then ctrl-C is typed, not a signal here.
    /// - Throws: If the process has no descriptor left.
    init(isTerminal: Bool) throws {
        input = try InputReader(STDIN_FILENO)
        let numbers = isTerminal ? [SIGWINCH, SIGTERM] : [SIGINT, SIGTERM]
        let signals = Signals.stream(numbers)
        controls = AsyncStream { continuation in
            let task = Task {
                var interrupts = 0
                for await number in signals {
                    if number == SIGWINCH {
                        guard let size = TerminalMode.size(STDIN_FILENO) else { continue }
                        continuation.yield(.resize(rows: size.rows, columns: size.columns))
                    } else {
                        interrupts += 1
                        // A command that does not listen must not hold this program: the second one leaves.
                        if interrupts > 1 {
                            TerminalMode.restore()
                            exit(ExitStatus.interrupted)
                        }
                        continuation.yield(.signal(Int(number)))
                    }
                }
                continuation.finish()
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Writes the command's output.
    func write(_ bytes: [UInt8], isError: Bool) async throws {
        try await StandardStreams.write(bytes, to: isError ? STDERR_FILENO : STDOUT_FILENO)
    }
}
