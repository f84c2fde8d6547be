/// Runs `body` and gives up on it after `limit`.
///
/// The body is cancelled at the deadline and not waited for: a timeout around an await that ignores cancellation would
/// otherwise be none. A body that ignores it runs on alone, so it must leave nothing half-made when its result is not
/// wanted any more.
///
/// - Parameters:
///   - limit: How long to wait.
///   - clock: What measures it.
///   - what: Names the work in the error: "`what` did not finish within 5 seconds".
///   - body: The work.
/// - Returns: What `body` returns.
/// - Throws: ``AgentError`` `timeout`; `CancellationError` when the caller is cancelled (the body is, too); what `body` throws.
public func withDeadline<Value: Sendable>(
    _ limit: Duration,
    clock: any Clock<Duration>,
    _ what: String,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let (outcomes, continuation) = AsyncStream.makeStream(
        of: Result<Value, any Error>.self,
        bufferingPolicy: .bufferingOldest(1)
    )
    let work = Task {
        do {
            continuation.yield(.success(try await body()))
        } catch {
            continuation.yield(.failure(error))
        }
    }
    let timer = Task {
        do {
            try await clock.sleep(for: limit)
            continuation.yield(.failure(AgentError(.timeout, "\(what) did not finish within \(limit)")))
        } catch {
            // Cancelled because the work ended first.
        }
    }
    defer {
        work.cancel()
        timer.cancel()
        continuation.finish()
    }
    for await outcome in outcomes {
        return try outcome.get()
    }
    // The stream ends without an element only when the caller is cancelled.
    throw CancellationError()
}
