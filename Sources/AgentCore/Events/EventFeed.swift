import Synchronization

/// Tells those who follow the events that there are new ones.
///
/// It carries none itself: whoever is told reads them from the store, so a slow reader costs nothing and misses nothing that
/// the store still has.
public final class EventFeed: Sendable {
    private struct State {
        var last = 0
        var listeners: [Int: AsyncStream<Void>.Continuation] = [:]
        var nextListener = 0
    }

    private let state = Mutex(State())

    /// One of which nobody knows yet.
    public init() {}

    /// The number of the newest event.
    public var last: Int { state.withLock { $0.last } }

    /// Events up to this one are stored.
    func advance(to sequence: Int) {
        let listeners = state.withLock { state in
            guard sequence > state.last else { return [AsyncStream<Void>.Continuation]() }
            state.last = sequence
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.yield() }
    }

    /// A signal after each advance; several that nobody took are one.
    func signals() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let listener = state.withLock { state in
            state.nextListener += 1
            state.listeners[state.nextListener] = continuation
            return state.nextListener
        }
        continuation.onTermination = { [weak self] _ in self?.state.withLock { $0.listeners[listener] = nil } }
        return stream
    }
}

/// A store that tells a feed of the events that it stores.
public struct PublishingStateStore: StateStore {
    private let base: any StateStore
    private let feed: EventFeed

    /// - Parameters:
    ///   - base: Stores.
    ///   - feed: Is told.
    public init(base: any StateStore, feed: EventFeed) {
        self.base = base
        self.feed = feed
    }

    public func load() async throws -> StoredState {
        let state = try await base.load()
        feed.advance(to: state.lastEvent)
        return state
    }

    @discardableResult
    public func commit(_ changes: [StateChange]) async throws -> [Event] {
        let events = try await base.commit(changes)
        if let last = events.last { feed.advance(to: last.sequence) }
        return events
    }

    public func events(after sequence: Int, limit: Int) async throws -> [Event] {
        try await base.events(after: sequence, limit: limit)
    }
}
