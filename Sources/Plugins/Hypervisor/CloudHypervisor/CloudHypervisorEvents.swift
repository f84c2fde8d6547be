import AgentCore
import Foundation
import Synchronization

/// One event as it is in the event monitor's file (docs/event-monitor.md of Cloud Hypervisor).
struct CloudHypervisorEvent: Decodable, Equatable, Sendable {
    var source: String
    var event: String
    var properties: [String: String]?

    init(_ source: String, _ event: String, _ properties: [String: String]? = nil) {
        self.source = source
        self.event = event
        self.properties = properties
    }
}

/// Cuts what is in the file into JSON objects: they come one after the other, each over several lines.
struct EventSplitter {
    /// Of one event; the longest there is has some 300 bytes.
    private static let limit = 64 << 10

    private var object: [UInt8] = []
    private var depth = 0
    private var isString = false
    private var isEscaped = false

    /// Takes bytes, and returns the objects that are whole.
    ///
    /// What is between them is dropped, and so are objects that are too long.
    mutating func take(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var whole: [[UInt8]] = []
        for byte in bytes {
            if depth == 0, byte != UInt8(ascii: "{") { continue }
            if object.count < Self.limit { object.append(byte) }
            if isString {
                if isEscaped { isEscaped = false } else { note(byte) }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isString = true
            case UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "}"):
                depth -= 1
                guard depth == 0 else { continue }
                if object.count < Self.limit { whole.append(object) }
                object.removeAll(keepingCapacity: true)
            default: break
            }
        }
        return whole
    }

    private mutating func note(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\\"): isEscaped = true
        case UInt8(ascii: "\""): isString = false
        default: break
        }
    }
}

/// Turns a Cloud Hypervisor's events into a machine's.
struct CloudHypervisorEventTranslation {
    /// Whether the vCPUs have run: the first resume after a restore is no event.
    private var hasRun: Bool
    /// What comes while it goes down is no event.
    private(set) var isEnding = false

    init(hasRun: Bool) {
        self.hasRun = hasRun
    }

    mutating func translate(_ event: CloudHypervisorEvent) -> MachineEvent? {
        guard !isEnding else { return nil }
        switch (event.source, event.event) {
        case ("vm", "paused"): return hasRun ? .paused : nil
        case ("vm", "resumed"):
            defer { hasRun = true }
            return hasRun ? .resumed : nil
        case ("vm", "rebooting"):
            isEnding = true
            return .reset
        case ("vm", "shutdown"):
            isEnding = true
            return .poweredOff
        // Also reported when a guest is about to boot a crash kernel, which is not the end.
        case ("guest", "panic") where event.properties?["event"] != "crash_loaded":
            isEnding = true
            return .panicked
        default: return nil
        }
    }

    /// Of what happened while no agent was there only the end counts: whether it is paused the VMM says itself.
    mutating func translateMissed(_ event: CloudHypervisorEvent) -> MachineEvent? {
        switch translate(event) {
        case .paused, .resumed, nil: nil
        case let event?: event
        }
    }
}

/// The stream of one machine's events.
final class CloudHypervisorEventSink: Sendable {
    private struct State {
        var translation: CloudHypervisorEventTranslation
        var splitter = EventSplitter()
        var isCatchingUp: Bool
        var hasReset = false
    }

    let stream: AsyncStream<MachineEvent>
    private let continuation: AsyncStream<MachineEvent>.Continuation
    private let state: Mutex<State>
    private let onReset: @Sendable () -> Void

    /// - Parameters:
    ///   - hasRun: Whether the vCPUs have run before.
    ///   - isCatchingUp: Whether what comes first happened in an earlier life of the agent.
    ///   - onReset: Ends the process of a guest that has reset, or panicked and is about to.
    init(hasRun: Bool, isCatchingUp: Bool, onReset: @escaping @Sendable () -> Void) {
        // A guest that panics all the time fills no memory; the newest are kept, so the exit is never lost.
        (stream, continuation) = AsyncStream.makeStream(of: MachineEvent.self, bufferingPolicy: .bufferingNewest(256))
        state = Mutex(
            State(translation: CloudHypervisorEventTranslation(hasRun: hasRun), isCatchingUp: isCatchingUp)
        )
        self.onReset = onReset
    }

    /// Takes bytes of the event monitor's file, in order.
    func receive(_ bytes: some Sequence<UInt8>) {
        let (events, hasReset) = state.withLock { state -> ([MachineEvent], Bool) in
            var events: [MachineEvent] = []
            var hasReset = false
            for object in state.splitter.take(bytes) {
                // One that cannot be read is of a kind that this version does not know.
                guard let event = try? JSONDecoder().decode(CloudHypervisorEvent.self, from: Data(object)) else {
                    continue
                }
                if event == CloudHypervisorEvent("vm", "rebooting") { hasReset = true }
                let translated =
                    state.isCatchingUp
                    ? state.translation.translateMissed(event) : state.translation.translate(event)
                if let translated { events.append(translated) }
            }
            state.hasReset = state.hasReset || hasReset
            return (events, hasReset)
        }
        for event in events { continuation.yield(event) }
        if hasReset { onReset() }
    }

    /// What comes from now on happens now.
    func catchUp() {
        state.withLock { $0.isCatchingUp = false }
    }

    func send(_ event: MachineEvent) {
        continuation.yield(event)
    }

    /// - Parameter exit: How the process ended; nil if nobody waits for that any more.
    func finish(_ exit: ProcessExit?) {
        if let exit {
            let hasReset = state.withLock { $0.hasReset }
            // Its VMM was ended by us, or has failed to boot it again: as elsewhere a reset is an orderly end.
            continuation.yield(.exited(hasReset && exit != .unknown ? .code(0) : exit))
        }
        continuation.finish()
    }
}
