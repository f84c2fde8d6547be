import AgentCore
import GuestProtocol
import Synchronization

@testable import AgentHTTP

/// A command that writes what it is told, copies its input, or just stays; with the backpressure that a real one has.
final class ScriptedProcess: GuestProcess {
    enum Call: Sendable, Hashable {
        case closeInput
        case resize(TerminalSize)
        case signal(Int)
        case kill
    }

    private let handoff = Handoff<GuestProcessEvent>()
    private let output: [(OutputStream, [UInt8])]
    private let exit: GuestExit?
    private let copiesInput: Bool
    private let refusesInput: Bool
    private let tellsSize: Bool
    let calls = Mutex<[Call]>([])
    private let killed = AsyncStream<Void>.makeStream()

    /// - Parameters:
    ///   - output: Written first.
    ///   - exit: How it ends after that; nil if it goes on.
    ///   - copiesInput: Whether it is `cat`, which ends with its input.
    ///   - stalls: Whether it never takes input.
    ///   - tellsSize: Whether it writes each new size of its terminal.
    init(
        output: [(OutputStream, String)] = [],
        exit: GuestExit? = nil,
        copiesInput: Bool = false,
        stalls: Bool = false,
        tellsSize: Bool = false
    ) {
        self.output = output.map { ($0.0, Array($0.1.utf8)) }
        self.exit = exit
        self.copiesInput = copiesInput
        self.refusesInput = stalls
        self.tellsSize = tellsSize
    }

    var events: AsyncThrowingStream<GuestProcessEvent, any Error> {
        let pending = Mutex<[GuestProcessEvent]>(
            output.map { .output($0.0, $0.1) } + (exit.map { [.exited($0)] } ?? [])
        )
        let ended = Mutex(false)
        return AsyncThrowingStream { [handoff] in
            guard !ended.withLock({ $0 }) else { return nil }
            let next = pending.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            let event = if let next { Optional(next) } else { await handoff.next() }
            if case .exited? = event { ended.withLock { $0 = true } }
            return event
        }
    }

    func write(_ bytes: [UInt8]) async throws {
        if refusesInput {
            for await _ in killed.stream {}
            throw AgentError(.invalidState, "the command has ended")
        }
        guard copiesInput else { throw AgentError(.invalidState, "the command takes no input") }
        await handoff.send(.output(.stdout, bytes))
    }

    func closeInput() async throws {
        calls.withLock { $0.append(.closeInput) }
        if copiesInput { await handoff.send(.exited(GuestExit(code: 0))) }
    }

    func resize(_ size: TerminalSize) async throws {
        calls.withLock { $0.append(.resize(size)) }
        if tellsSize { await handoff.send(.output(.stdout, Array("\(size.rows)x\(size.columns)".utf8))) }
    }

    func signal(_ number: Int) async throws {
        calls.withLock { $0.append(.signal(number)) }
        await handoff.send(.exited(GuestExit(code: 128 + number, signal: number)))
    }

    func kill() async {
        calls.withLock { $0.append(.kill) }
        killed.continuation.finish()
        handoff.finish()
    }

    /// Returns when it was killed.
    func waitUntilKilled() async {
        for await _ in killed.stream {}
    }
}
