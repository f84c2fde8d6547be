import DequeModule
import Synchronization

/// Lets at most `width` tasks do something at a time, first come first served.
///
/// Strictly FIFO: a newcomer never overtakes one that waits. A waiter that is cancelled leaves the queue at once.
public final class FairSemaphore: Sendable {
    private struct Waiter {
        let id: UInt64
        let turns: Int
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var free: Int
        var nextID: UInt64 = 0
        var waiters: Deque<Waiter> = []
        /// Cancelled between asking for an id and being queued.
        var cancelledEarly: Set<UInt64> = []
    }

    private let state: Mutex<State>
    /// How many may be inside at once.
    public let width: Int

    public init(width: Int) {
        precondition(width > 0, "a semaphore that lets nobody in")
        self.width = width
        self.state = Mutex(State(free: width))
    }

    /// Runs `body`, on the caller's actor, when it is this task's turn.
    ///
    /// - Throws: `CancellationError` if cancelled while waiting, else what `body` throws.
    public nonisolated(nonsending) func withTurn<Result>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        try await acquire(1)
        defer { release(1) }
        return try await body()
    }

    /// Runs `body` when nobody else is inside and keeps everyone out meanwhile.
    ///
    /// - Throws: As ``withTurn(_:)``.
    public nonisolated(nonsending) func withAllTurns<Result>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        // All at once: of two that collected turn by turn, each could hold what the other waits for.
        try await acquire(width)
        defer { release(width) }
        return try await body()
    }

    private nonisolated(nonsending) func acquire(_ turns: Int) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let result: Result<Void, any Error>? = state.withLock { state in
                    if state.cancelledEarly.remove(id) != nil { return .failure(CancellationError()) }
                    if state.free >= turns, state.waiters.isEmpty {
                        state.free -= turns
                        return .success(())
                    }
                    state.waiters.append(Waiter(id: id, turns: turns, continuation: continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let resumed = state.withLock { state -> [(Waiter, (any Error)?)] in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else {
                    state.cancelledEarly.insert(id)
                    return []
                }
                let cancelled = state.waiters.remove(at: index)
                // Those behind one that wanted many turns may fit now.
                return [(cancelled, CancellationError())] + Self.admit(&state).map { ($0, nil) }
            }
            for (waiter, error) in resumed {
                if let error { waiter.continuation.resume(throwing: error) } else { waiter.continuation.resume() }
            }
        }
        // The handler may have run after the turn was given: its mark must not stay behind.
        _ = state.withLock { $0.cancelledEarly.remove(id) }
    }

    private func release(_ turns: Int) {
        let admitted = state.withLock { state in
            state.free += turns
            return Self.admit(&state)
        }
        for waiter in admitted { waiter.continuation.resume() }
    }

    /// Takes those out of the queue whose turn it is.
    private static func admit(_ state: inout State) -> [Waiter] {
        var admitted: [Waiter] = []
        while let next = state.waiters.first, next.turns <= state.free {
            state.free -= next.turns
            admitted.append(state.waiters.removeFirst())
        }
        return admitted
    }
}
