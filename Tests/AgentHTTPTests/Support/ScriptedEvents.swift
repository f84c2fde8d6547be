import AgentCore
import AgentHTTP
import AgentTestSupport
import Synchronization

/// Events that a test brings about, and then no more.
final class ScriptedEvents: EventOperations {
    let positions = Mutex<[Int?]>([])

    func events(after sequence: Int?) -> AsyncThrowingStream<Event, any Error> {
        positions.withLock { $0.append(sequence) }
        let kinds: [EventDraft.Kind] = [.instanceCreated, .imageStatus, .snapshotCreated]
        return AsyncThrowingStream { continuation in
            for (number, kind) in kinds.enumerated() {
                let draft = EventDraft(time: Fixtures.time, kind: kind, subject: "s\(number)", attributes: ["a": "b"])
                continuation.yield(Event(sequence: (sequence ?? 0) + number + 1, event: draft))
            }
            continuation.finish()
        }
    }
}
