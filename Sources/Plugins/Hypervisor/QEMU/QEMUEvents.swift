import AgentCore
import Synchronization

/// Turns QMP's events into a machine's.
struct QEMUEventTranslation {
    /// Whether the vCPUs have run: the RESUME of the start itself is no event.
    private var hasStarted: Bool
    /// What QEMU reports while it goes down (STOP after a panic) is no event either.
    private var isEnding = false
    /// Stopped by itself since a disk cannot grow, until the vCPUs run again.
    private var isOutOfSpace = false

    init(hasStarted: Bool) {
        self.hasStarted = hasStarted
    }

    mutating func translate(_ event: QMPEvent) -> MachineEvent? {
        switch event.name {
        case "RESUME" where !hasStarted:
            hasStarted = true
            return nil
        case "BLOCK_IO_ERROR" where event.nospace == true && event.action == "stop" && !isEnding:
            // One for each write that was under way; QEMU's STOP comes after the first.
            defer { isOutOfSpace = true }
            return isOutOfSpace ? nil : .outOfSpace
        case "STOP" where isOutOfSpace: return nil
        case "RESUME" where isOutOfSpace:
            isOutOfSpace = false
            return nil
        case "STOP" where !isEnding && hasStarted: return .paused
        case "RESUME" where !isEnding: return .resumed
        case "RESET" where event.guest == true: return .reset
        case "GUEST_PANICKED" where !isEnding:
            isEnding = true
            return .panicked
        case "SHUTDOWN":
            // A panic's own SHUTDOWN says guest-panic; one that the agent asked for says host-….
            isEnding = true
            switch event.reason {
            case "guest-shutdown": return .poweredOff
            case "guest-reset": return .reset
            default: return nil
            }
        default: return nil
        }
    }
}

/// The stream of one machine's events.
final class QEMUEventSink: Sendable {
    let stream: AsyncStream<MachineEvent>
    private let continuation: AsyncStream<MachineEvent>.Continuation
    private let translation: Mutex<QEMUEventTranslation>
    /// Those who wait for a device to go, each for one.
    private let departures = Mutex<[String: AsyncStream<Void>.Continuation]>([:])

    init(hasStarted: Bool) {
        // A guest that resets all the time fills no memory; the newest are kept, so the exit is never lost.
        (stream, continuation) = AsyncStream.makeStream(of: MachineEvent.self, bufferingPolicy: .bufferingNewest(256))
        translation = Mutex(QEMUEventTranslation(hasStarted: hasStarted))
    }

    /// What ends when QEMU says that a device, named by its id or its path, is gone; one at a time waits for each.
    func departure(of device: String) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        departures.withLock { $0.updateValue(continuation, forKey: device)?.finish() }
        return stream
    }

    func receive(_ event: QMPEvent) {
        if event.name == "DEVICE_DELETED" {
            for device in [event.device, event.path].compactMap(\.self) {
                departures.withLock { $0.removeValue(forKey: device)?.finish() }
            }
        }
        guard let event = translation.withLock({ $0.translate(event) }) else { return }
        continuation.yield(event)
    }

    func send(_ event: MachineEvent) {
        continuation.yield(event)
    }

    /// - Parameter exit: How the process ended; nil if nobody waits for that any more.
    func finish(_ exit: ProcessExit?) {
        if let exit { continuation.yield(.exited(exit)) }
        continuation.finish()
    }
}
