import Synchronization

/// Passes values from one task to another, one at a time: the sender waits until its value was taken.
///
/// One task sends and one takes. Cancelling either ends it for both.
final class Handoff<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case full(Value, CheckedContinuation<Void, Never>)
        case waiting(CheckedContinuation<Value?, Never>)
        case finished
    }

    private let state = Mutex(State.empty)

    /// Gives a value; returns once it was taken, or nobody is going to.
    func send(_ value: Value) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                // What is resumed, is resumed after the lock is free again.
                let resume: (() -> Void)? = state.withLock { state in
                    switch state {
                    case .waiting(let taker):
                        state = .empty
                        return {
                            taker.resume(returning: value)
                            continuation.resume()
                        }
                    case .empty:
                        state = .full(value, continuation)
                        return nil
                    case .full, .finished:
                        return { continuation.resume() }
                    }
                }
                resume?()
            }
        } onCancel: {
            finish()
        }
    }

    /// Takes the next value; nil after the end.
    func next() async -> Value? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Value?, Never>) in
                let resume: (() -> Void)? = state.withLock { state in
                    switch state {
                    case .full(let value, let sender):
                        state = .empty
                        return {
                            sender.resume()
                            continuation.resume(returning: value)
                        }
                    case .empty:
                        state = .waiting(continuation)
                        return nil
                    case .waiting, .finished:
                        return { continuation.resume(returning: nil) }
                    }
                }
                resume?()
            }
        } onCancel: {
            finish()
        }
    }

    /// Ends it for both sides; a value that was not taken is lost.
    func finish() {
        let old = state.withLock { state in
            defer { state = .finished }
            return state
        }
        switch old {
        case .full(_, let sender): sender.resume()
        case .waiting(let taker): taker.resume(returning: nil)
        case .empty, .finished: break
        }
    }
}
