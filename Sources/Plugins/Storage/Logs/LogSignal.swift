import Synchronization

/// Wakes those who follow a log when there is more of it.
final class LogSignal: Sendable {
    private struct State {
        var version: UInt64 = 0
        var isClosed = false
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// To be read before looking at the log, and given to ``wait(after:)``, so that nothing is missed between.
    var version: UInt64 { state.withLock { $0.version } }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    func notify() { wake { $0.version += 1 } }

    /// Wakes everyone for good.
    func close() { wake { $0.isClosed = true } }

    private func wake(_ change: (inout State) -> Void) {
        let waiters = state.withLock { state in
            change(&state)
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when something happened after `version`, when the log is closed, or when the task is cancelled.
    func wait(after version: UInt64) async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDue = state.withLock { state in
                    if state.version != version || state.isClosed || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isDue { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }
}
