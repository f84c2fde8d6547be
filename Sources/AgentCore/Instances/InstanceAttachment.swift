import GuestProtocol
import Synchronization

/// Somebody's hold on an instance's program.
final class InstanceAttachment: GuestConversation {
    let events: AsyncThrowingStream<GuestProcessEvent, any Error>
    private let input: any GuestInput
    private let sendSignal: @Sendable (Int) async throws -> Void

    /// - Parameters:
    ///   - input: The way into the program.
    ///   - output: Its log, followed to the end of the run.
    ///   - end: The end of the run.
    ///   - signal: Sends the program a signal.
    init(
        input: any GuestInput,
        output: AsyncThrowingStream<LogLine, any Error>,
        end: InstanceRunEnd,
        signal: @escaping @Sendable (Int) async throws -> Void
    ) {
        self.input = input
        sendSignal = signal
        let hasEnded = Mutex(false)
        events = AsyncThrowingStream {
            if hasEnded.withLock({ $0 }) { return nil }
            // Its iterators share one place in the stream.
            var lines = output.makeAsyncIterator()
            if let line = try await lines.next() {
                return .output(line.stream, line.isPartial ? line.bytes : line.bytes + [UInt8(ascii: "\n")])
            }
            try Task.checkCancellation()
            hasEnded.withLock { $0 = true }
            return .exited(try InstanceAttachment.exit(of: end.instance))
        }
    }

    func write(_ bytes: [UInt8]) async throws { try await input.write(bytes) }

    func closeInput() async throws { try await input.closeInput() }

    func resize(_ size: TerminalSize) async throws { try await input.resize(size) }

    func signal(_ number: Int) async throws { try await sendSignal(number) }

    func leave() async { await input.leave() }

    private static func exit(of instance: Instance) throws -> GuestExit {
        guard let exit = instance.exit else {
            throw AgentError(.notFound, "instance '\(instance.name)' was deleted while it ran")
        }
        guard let code = exit.code else {
            let why = exit.message.map { ": \($0)" } ?? ""
            throw AgentError(.unavailable, "nobody knows how the program of instance '\(instance.name)' ended\(why)")
        }
        return GuestExit(code: code, signal: exit.signal, message: exit.message)
    }
}

extension Instance {
    /// Whether there is anything in its program to attach to, in whatever state it is.
    ///
    /// - Throws: `notSupported` `not_attachable`.
    public func checkAttachable() throws(AgentError) {
        guard !specification.terminal, !specification.openStandardInput else { return }
        throw AgentError(
            .notSupported,
            code: "not_attachable",
            "the program of instance '\(name)' has neither a terminal nor an open stdin; "
                + "create it with tty or stdin_open, or follow its log"
        )
    }
}
