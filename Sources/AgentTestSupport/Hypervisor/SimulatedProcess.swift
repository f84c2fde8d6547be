import AgentCore
import GuestProtocol
import Synchronization

/// A command in a ``SimulatedGuest``.
final class SimulatedProcess: GuestProcess {
    private struct State {
        var hasEnded = false
        var inputIsClosed = false
    }

    let events: AsyncThrowingStream<GuestProcessEvent, any Error>
    private let continuation: AsyncThrowingStream<GuestProcessEvent, any Error>.Continuation
    private let command: GuestBehaviour.Command
    private let state = Mutex(State())

    init(_ command: GuestBehaviour.Command) {
        self.command = command
        (events, continuation) = AsyncThrowingStream.makeStream(of: GuestProcessEvent.self)
    }

    func run() {
        guard case .finishes(let stdout, let stderr, let exit) = command else { return }
        if !stdout.isEmpty { continuation.yield(.output(.stdout, Array(stdout.utf8))) }
        if !stderr.isEmpty { continuation.yield(.output(.stderr, Array(stderr.utf8))) }
        end(exit)
    }

    func write(_ bytes: [UInt8]) async throws {
        guard state.withLock({ !$0.hasEnded && !$0.inputIsClosed }) else {
            throw AgentError(.invalidState, "the command takes no more input")
        }
        if case .echoesInput = command { continuation.yield(.output(.stdout, bytes)) }
    }

    func closeInput() async throws {
        state.withLock { $0.inputIsClosed = true }
        if case .echoesInput = command { end(GuestExit(code: 0)) }
    }

    func resize(_ size: TerminalSize) async throws {}

    func signal(_ number: Int) async throws { end(GuestExit(code: 128 + number, signal: number)) }

    func kill() async { end(GuestExit(code: 137, signal: 9)) }

    /// The connection is gone.
    func lose() {
        guard markEnded() else { return }
        continuation.finish(throwing: SimulatedGuest.lost)
    }

    private func end(_ exit: GuestExit) {
        guard markEnded() else { return }
        continuation.yield(.exited(exit))
        continuation.finish()
    }

    private func markEnded() -> Bool {
        state.withLock { state in
            defer { state.hasEnded = true }
            return !state.hasEnded
        }
    }
}
