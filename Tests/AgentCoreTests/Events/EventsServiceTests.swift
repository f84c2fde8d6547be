import AgentCore
import AgentTestSupport
import Testing

@Suite struct EventsServiceTests {
    private static func draft(_ number: Int) -> StateChange {
        .appendEvent(EventDraft(time: Fixtures.time, kind: .instanceState, subject: "\(number)"))
    }

    private static func make() async throws -> (store: PublishingStateStore, events: EventsService) {
        let feed = EventFeed()
        let store = PublishingStateStore(base: InMemoryStateStore(), feed: feed)
        for number in 1...3 { try await store.commit([draft(number)]) }
        return (store, EventsService(store: store, feed: feed))
    }

    private static func take(_ count: Int, of events: AsyncThrowingStream<Event, any Error>) async throws -> [Int] {
        var numbers: [Int] = []
        for try await event in events {
            numbers.append(event.sequence)
            if numbers.count == count { break }
        }
        return numbers
    }

    @Test func oldOnesComeFirstAndThenNewOnesWithoutGaps() async throws {
        let (store, events) = try await Self.make()
        let old = events.events(after: 1)
        let new = events.events(after: nil)
        let writing = Task {
            for number in 4...600 { try await store.commit([Self.draft(number), Self.draft(number)]) }
        }
        #expect(try await Self.take(1100, of: old) == Array(2...1101))
        #expect(try await Self.take(1000, of: new) == Array(4...1003))
        try await writing.value
    }

    @Test func aFollowerThatWaitsIsWokenAndOneThatLeavesIsForgotten() async throws {
        let (store, events) = try await Self.make()
        let follower = Task { try await Self.take(2, of: events.events(after: 2)) }
        try await Task.sleep(for: .milliseconds(20))
        try await store.commit([Self.draft(4)])
        #expect(try await follower.value == [3, 4])
        let idle = Task { try await Self.take(1, of: events.events(after: nil)) }
        try await Task.sleep(for: .milliseconds(20))
        idle.cancel()
        #expect(try await idle.value == [])
    }

    @Test func whatIsNotKeptAnyMoreIsSaid() async throws {
        struct Forgetful: StateStore {
            let base = InMemoryStateStore()
            func load() async throws -> StoredState { try await base.load() }
            func commit(_ changes: [StateChange]) async throws -> [Event] { try await base.commit(changes) }
            func events(after sequence: Int, limit: Int) async throws -> [Event] {
                try await base.events(after: max(sequence, 5), limit: limit)
            }
        }
        let feed = EventFeed()
        let store = PublishingStateStore(base: Forgetful(), feed: feed)
        for number in 1...8 { try await store.commit([Self.draft(number)]) }
        let events = EventsService(store: store, feed: feed)
        let error = await #expect(throws: AgentError.self) { try await Self.take(1, of: events.events(after: 2)) }
        #expect(error?.code == "events_gone")
        #expect(error?.message.contains("from 3 to 5") == true)
        #expect(try await Self.take(3, of: events.events(after: 5)) == [6, 7, 8])
    }

    @Test func numbersGoOnAfterARestart() async throws {
        let base = InMemoryStateStore()
        try await base.commit([Self.draft(1), Self.draft(2)])
        let feed = EventFeed()
        let store = PublishingStateStore(base: base, feed: feed)
        _ = try await store.load()
        let events = EventsService(store: store, feed: feed).events(after: nil)
        try await store.commit([Self.draft(3)])
        #expect(try await Self.take(1, of: events) == [3])
    }
}
