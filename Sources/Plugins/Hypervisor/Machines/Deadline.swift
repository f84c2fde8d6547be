import AgentCore

/// Runs `body`, and cancels it when the time is up.
///
/// `body` must react to cancellation: it is waited for.
///
/// - Throws: ``AgentError`` `timeout` with `message` when the time was up first; what `body` throws otherwise.
func withDeadline<Value: Sendable>(
    _ deadline: Duration,
    _ message: @autoclosure @Sendable () -> String,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: deadline)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else {
            throw AgentError(.timeout, message())
        }
        return value
    }
}

/// How long things take at most that are under way already.
enum Deadlines {
    /// From the loss of a VMM's connection to word of the end of its process: under systemd, of its whole unit.
    static let end = Duration.seconds(5)
    /// Of the end of a process that somebody still talks to.
    static let word = Duration.milliseconds(100)
}

extension SupervisedProcess {
    /// How a VMM whose start failed has ended by itself; nil if it seems to run.
    ///
    /// Where its connection was lost it ends, or has ended, and is waited for.
    func ownExit(after error: any Error) async -> ProcessExit? {
        let hasLostIt = (error as? AgentError)?.code == "vmm_connection_lost"
        return try? await withDeadline(hasLostIt ? Deadlines.end : Deadlines.word, "") {
            try await self.waitForExit()
        }
    }
}
