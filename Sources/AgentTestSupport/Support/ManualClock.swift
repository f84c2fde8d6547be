import AgentCore
import Synchronization

/// A monotonic clock that stands still until it is told to go on.
public final class ManualClock: Clock {
    public struct Instant: InstantProtocol {
        var offset: Duration

        public func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        public func duration(to other: Instant) -> Duration { other.offset - offset }
        public static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.offset < rhs.offset }
    }

    private struct State {
        var now = Instant(offset: .zero)
        var sleepers: [Int: (deadline: Instant, alarm: OneShot<Void>)] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    public init() {}

    public var now: Instant { state.withLock { $0.now } }
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// How many sleep until exactly so long from now.
    public func sleepers(for duration: Duration) -> Int {
        state.withLock { state in
            state.sleepers.values.count { $0.deadline == state.now.advanced(by: duration) }
        }
    }

    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let alarm = OneShot<Void>()
        let id = state.withLock { state -> Int? in
            guard deadline > state.now else { return nil }
            state.next += 1
            state.sleepers[state.next] = (deadline, alarm)
            return state.next
        }
        guard let id else { return }
        defer { state.withLock { $0.sleepers[id] = nil } }
        try await alarm.wait()
    }

    /// Lets time pass, and wakes those whose time has come.
    public func advance(by duration: Duration) {
        let due = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            return state.sleepers.values.filter { $0.deadline <= state.now }.map(\.alarm)
        }
        for alarm in due { alarm.fulfil(()) }
    }
}
