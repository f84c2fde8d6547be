/// What happened to instances, images, snapshots and the network, in its order.
public final class EventsService: Sendable {
    /// Read from the store at a time.
    private static let pageSize = 256

    private let store: any StateStore
    private let feed: EventFeed

    /// - Parameters:
    ///   - store: Where events are kept, the newest ten thousand or so.
    ///   - feed: Is told of each that is stored.
    public init(store: any StateStore, feed: EventFeed) {
        self.store = store
        self.feed = feed
    }

    /// Events after a number, then each new one, to one consumer, without end.
    ///
    /// The store is read as they are consumed. The stream ends with ``AgentError`` `invalidState` `events_gone` where events
    /// between are not kept any more, since the caller was away or slow for too long.
    ///
    /// - Parameter sequence: The number of the last event that the caller knows; nil is the newest that there is.
    /// - Returns: The events, by their numbers without gaps.
    public func events(after sequence: Int?) -> AsyncThrowingStream<Event, any Error> {
        let reader = EventReader(after: sequence ?? feed.last, signals: feed.signals()) { [store] sequence in
            try await store.events(after: sequence, limit: Self.pageSize)
        }
        return AsyncThrowingStream { try await reader.next() }
    }
}

/// One follower's place in the events.
private actor EventReader {
    private var position: Int
    private var page: ArraySlice<Event> = []
    private let signals: AsyncStream<Void>
    private let read: @Sendable (Int) async throws -> [Event]

    init(after position: Int, signals: AsyncStream<Void>, read: @escaping @Sendable (Int) async throws -> [Event]) {
        self.position = position
        self.signals = signals
        self.read = read
    }

    /// The next event; nil when the task is cancelled.
    func next() async throws -> Event? {
        while page.isEmpty {
            page = try await read(position)[...]
            if !page.isEmpty { break }
            // A signal that came since the page was read waits here.
            var waiting = signals.makeAsyncIterator()
            guard await waiting.next() != nil else { return nil }
        }
        guard let event = page.popFirst() else { return nil }
        guard event.sequence == position + 1 else {
            throw AgentError(
                .invalidState,
                code: "events_gone",
                "the events from \(position + 1) to \(event.sequence - 1) are not kept any more: look at what there is "
                    + "now, and follow from event \(event.sequence - 1)"
            )
        }
        position = event.sequence
        return event
    }
}
