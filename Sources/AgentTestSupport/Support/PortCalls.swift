public import AgentCore
import Synchronization

/// The calls that the doubles of one world get, to walk through them: each can be made to fail, to hang, or to have
/// something happen just before it.
public final class PortCalls: Sendable {
    /// One call of many: the `occurrence`th of its name since it was last asked to listen, from 1.
    public struct Point: Sendable, Hashable, CustomStringConvertible {
        public var name: String
        public var occurrence: Int

        public init(_ name: String, _ occurrence: Int = 1) { (self.name, self.occurrence) = (name, occurrence) }

        public var description: String { "\(name) \(occurrence)" }
    }

    /// What a call does instead of its work, or before it.
    public enum Action: Sendable {
        case fail(AgentError)
        /// Until it is cancelled, or the agent's life ends.
        case hang
        /// It does its work when that has ended, if it still can.
        case run(@Sendable () async throws -> Void)
    }

    private struct State {
        var counts: [String: Int] = [:]
        var points: [Point] = []
        var armed: (point: Point, action: Action)?
        var hasReached = false
        var hanging: [Int: OneShot<Void>] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    public init() {}

    /// Counts calls from now on, and has one of them do something else.
    public func listen(for point: Point? = nil, _ action: Action = .hang) {
        state.withLock { state in
            (state.counts, state.points, state.hasReached) = ([:], [], false)
            state.armed = point.map { ($0, action) }
        }
    }

    /// The calls since it was last asked to listen, in order.
    public var points: [Point] { state.withLock { $0.points } }

    /// Whether the call came for which something was planned.
    public var hasReached: Bool { state.withLock { $0.hasReached } }

    /// How many calls hang now.
    public var hanging: Int { state.withLock { $0.hanging.count } }

    /// Ends every call that hangs, as it ends with its process.
    func endLife() {
        let ended = state.withLock { state in
            state.armed = nil
            return Array(state.hanging.values)
        }
        for call in ended { call.fulfil(()) }
    }

    /// A call has come.
    func enter(_ name: String) async throws {
        let action = state.withLock { state -> Action? in
            let point = Point(name, state.counts[name, default: 0] + 1)
            state.counts[name] = point.occurrence
            state.points.append(point)
            guard let armed = state.armed, armed.point == point else { return nil }
            state.armed = nil
            state.hasReached = true
            return armed.action
        }
        switch action {
        case nil: return
        case .fail(let error): throw error
        case .run(let body): try await body()
        case .hang: try await hang()
        }
    }

    private func hang() async throws {
        let end = OneShot<Void>()
        let number = state.withLock { state in
            state.next += 1
            state.hanging[state.next] = end
            return state.next
        }
        defer { state.withLock { $0.hanging[number] = nil } }
        try await end.wait()
        throw AgentError(.unavailable, "this life of the agent has ended")
    }
}
