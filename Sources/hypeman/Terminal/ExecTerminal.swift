import AgentAPI
import Foundation

/// This side of an exec or attach: where input comes from, where output goes, and what else is said to the command.
struct ExecTerminal: Sendable {
    let input: InputReader
    /// Whether what comes from stdin is sent.
    let sendsInput: Bool
    /// Whether the terminal here is raw: all that is typed belongs to the other side, ctrl-C too.
    let isRaw: Bool
    /// Whether a new line of the output needs a return, too: it does not come from a terminal, and goes to a raw one.
    private let addsReturns: Bool
    /// Resizes of the terminal, signals to this process.
    let controls: AsyncStream<ExecControl>

    /// The process's own streams.
    ///
    /// - Parameters:
    ///   - hasTerminal: Whether the other side has a terminal of its own.
    ///   - sendsInput: Whether stdin is sent to it.
    ///   - outputHasReturns: Whether its output is a terminal's.
    ///   - forwardsSignals: Whether signals to this process are sent to it.
    /// - Throws: If the process has no descriptor left.
    init(
        hasTerminal: Bool,
        sendsInput: Bool,
        outputHasReturns: Bool = true,
        forwardsSignals: Bool = true
    ) throws {
        input = try InputReader(STDIN_FILENO)
        self.sendsInput = sendsInput
        isRaw = hasTerminal && sendsInput
        addsReturns = isRaw && !outputHasReturns
        guard forwardsSignals else {
            controls = AsyncStream { $0.finish() }
            return
        }
        let numbers = [SIGTERM] + (hasTerminal ? [SIGWINCH] : []) + (isRaw ? [] : [SIGINT])
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

    /// Calls `use` with the terminal raw if it is to be.
    func whileAttached<Result>(_ use: () async throws -> Result) async throws -> Result {
        try await isRaw ? TerminalMode.withRaw(STDIN_FILENO, use) : use()
    }

    /// Writes the command's output.
    func write(_ bytes: [UInt8], isError: Bool) async throws {
        let bytes = addsReturns ? bytes.flatMap { $0 == UInt8(ascii: "\n") ? [13, 10] : [$0] } : bytes
        try await StandardStreams.write(bytes, to: isError ? STDERR_FILENO : STDOUT_FILENO)
    }
}
