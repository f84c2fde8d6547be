import Synchronization

/// Tells listeners which of many things have changed, without saying how.
///
/// A listener that is slow learns of each thing once, so what it holds is bounded by the number of things.
public final class ChangeFeed<ID: Hashable & Sendable>: Sendable {
    private struct State {
        var listeners: [Int: ChangeListener<ID>] = [:]
        var nextListener = 0
    }

    private let state = Mutex(State())

    init() {}

    /// Something about it is new: it may also have come or gone.
    func mark(_ id: ID) {
        for listener in state.withLock({ Array($0.listeners.values) }) { listener.mark(id) }
    }

    /// What changes from now on, for one consumer; until ``ChangeListener/stop()``.
    public func listen() -> ChangeListener<ID> {
        state.withLock { state in
            state.nextListener += 1
            let number = state.nextListener
            let listener = ChangeListener<ID> { [weak self] in self?.state.withLock { $0.listeners[number] = nil } }
            state.listeners[number] = listener
            return listener
        }
    }
}

/// One listener's changes.
public final class ChangeListener<ID: Hashable & Sendable>: Sendable {
    private let changed = Mutex<Set<ID>>([])
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let end: @Sendable () -> Void

    init(end: @escaping @Sendable () -> Void) {
        self.end = end
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    func mark(_ id: ID) {
        changed.withLock { _ = $0.insert(id) }
        signal.yield()
    }

    /// What has changed since the last call; waits for the first of it.
    ///
    /// - Returns: nil when the task is cancelled.
    public func next() async -> Set<ID>? {
        var iterator = signals.makeAsyncIterator()
        while await iterator.next() != nil {
            let all = changed.withLock { changed in
                defer { changed = [] }
                return changed
            }
            if !all.isEmpty { return all }
        }
        return nil
    }

    /// Nothing more is collected.
    public func stop() { end() }
}
