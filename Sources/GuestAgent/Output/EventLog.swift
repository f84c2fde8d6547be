import CInit
import GuestProtocol

/// Every event of this boot, and who wants to hear of new ones.
///
/// Used on the event loop only.
final class EventLog {
    private var events: [GuestEvent] = []
    private var listeners: [ObjectIdentifier: (GuestEvent) -> Void] = [:]

    func append(_ kind: GuestEvent.Kind) {
        let event = GuestEvent(
            sequence: events.count + 1,
            uptimeMicroseconds: Int(hypeman_uptime_microseconds()),
            kind: kind
        )
        events.append(event)
        for listener in listeners.values { listener(event) }
    }

    /// Calls `body` for each event after `sequence`, at once for those that were, and later for those that come.
    func listen(_ listener: AnyObject, after sequence: UInt64, _ body: @escaping (GuestEvent) -> Void) {
        for event in events where UInt64(event.sequence) > sequence { body(event) }
        listeners[ObjectIdentifier(listener)] = body
    }

    func stop(_ listener: AnyObject) {
        listeners[ObjectIdentifier(listener)] = nil
    }
}
