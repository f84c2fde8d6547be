import AgentCore
import GuestProtocol
import Synchronization

/// What hypeman-init would be: events, output and commands of one guest.
final class SimulatedGuest: Sendable {
    /// What is in its memory.
    struct Saved: Sendable {
        var behaviour: GuestBehaviour
        var bootID: String
        var session: String
        var events: [GuestEvent]
        var output: [GuestOutput]
        var outputEnd: UInt64
        var programHasExited: Bool
    }

    private struct State {
        var events: [GuestEvent] = []
        var output: [GuestOutput] = []
        var outputEnd: UInt64 = 0
        var programHasExited = false
        var isHalted = false
        /// Rises with each connection; what belongs to an older one is dead.
        var connection = 0
        var eventSubscribers: [AsyncThrowingStream<GuestEvent, any Error>.Continuation] = []
        var outputSubscribers: [AsyncThrowingStream<GuestOutput, any Error>.Continuation] = []
        var processes: [SimulatedProcess] = []
    }

    let behaviour: GuestBehaviour
    let files = SimulatedFiles()
    private let bootID: String
    private let state = Mutex(State())
    private let answered = OneShot<Result<Void, AgentError>>()

    init(behaviour: GuestBehaviour, bootID: String) {
        self.behaviour = behaviour
        self.bootID = bootID
    }

    /// One that goes on where another was saved.
    convenience init(_ saved: Saved) {
        self.init(behaviour: saved.behaviour, bootID: saved.bootID)
        state.withLock { state in
            state.events = saved.events
            state.output = saved.output
            state.outputEnd = saved.outputEnd
            state.programHasExited = saved.programHasExited
        }
        answer()
    }

    /// What is in its memory now.
    func saved(session: String) -> Saved {
        state.withLock { state in
            Saved(
                behaviour: behaviour,
                bootID: bootID,
                session: session,
                events: state.events,
                output: state.output,
                outputEnd: state.outputEnd,
                programHasExited: state.programHasExited
            )
        }
    }

    static var lost: AgentError { AgentError(.unavailable, "the connection to the guest is lost") }

    var programRuns: Bool { state.withLock { !$0.programHasExited && !$0.isHalted } }

    // MARK: Its own life

    func boot() {
        if behaviour.startsProgram { report(.started(pid: 2)) }
        if !behaviour.output.isEmpty { write(Array(behaviour.output.utf8), to: .stdout) }
        if let exit = behaviour.exit { exitProgram(exit) }
        if behaviour.answers { answer() }
    }

    func answer() {
        if let error = behaviour.handshakeError {
            answered.fulfil(.failure(error))
        } else {
            answered.fulfil(.success(()))
        }
    }

    func write(_ bytes: [UInt8], to stream: OutputStream) {
        state.withLock { state in
            guard !state.isHalted, !state.programHasExited else { return }
            let output = GuestOutput(
                stream: stream,
                offset: state.outputEnd,
                uptimeMicroseconds: 1_000_000 + state.outputEnd,
                bytes: bytes
            )
            state.outputEnd += UInt64(bytes.count)
            state.output.append(output)
            for subscriber in state.outputSubscribers { subscriber.yield(output) }
        }
    }

    func exitProgram(_ exit: GuestExit) {
        let subscribers = state.withLock { state in
            guard !state.isHalted, !state.programHasExited else { return state.outputSubscribers.prefix(0) }
            state.programHasExited = true
            defer { state.outputSubscribers = [] }
            return state.outputSubscribers[...]
        }
        for subscriber in subscribers { subscriber.finish() }
        report(.exited(exit))
    }

    func halt() {
        state.withLock { $0.isHalted = true }
        answered.fulfil(.failure(AgentError(.unavailable, "the machine has exited")))
        disconnect()
    }

    // MARK: Its connection

    func connect(host: InMemoryHost, instance: InstanceID) async throws -> any GuestChannel {
        try await answered.wait().get()
        disconnect()
        let connection = try state.withLock { state in
            guard !state.isHalted else { throw AgentError(.unavailable, "the machine has exited") }
            return state.connection
        }
        let hello = GuestHello(
            protocolVersion: GuestProtocolVersion.current,
            initVersion: "in-memory",
            features: behaviour.features,
            bootID: bootID
        )
        return InMemoryGuestChannel(hello: hello, guest: self, connection: connection, host: host, instance: instance)
    }

    /// Ends a connection, or whichever there is.
    func disconnect(_ connection: Int? = nil) {
        let (events, output, processes) = state.withLock { state in
            guard connection == nil || connection == state.connection else {
                return (state.eventSubscribers.prefix(0), state.outputSubscribers.prefix(0), state.processes.prefix(0))
            }
            state.connection += 1
            defer { (state.eventSubscribers, state.outputSubscribers, state.processes) = ([], [], []) }
            return (state.eventSubscribers[...], state.outputSubscribers[...], state.processes[...])
        }
        for subscriber in events { subscriber.finish(throwing: Self.lost) }
        for subscriber in output { subscriber.finish(throwing: Self.lost) }
        for process in processes { process.lose() }
    }

    func requireConnection(_ connection: Int) throws {
        guard state.withLock({ $0.connection == connection && !$0.isHalted }) else { throw Self.lost }
    }

    func subscribe(
        _ subscriber: AsyncThrowingStream<GuestEvent, any Error>.Continuation,
        after sequence: Int,
        connection: Int
    ) {
        let isConnected = state.withLock { state in
            guard state.connection == connection, !state.isHalted else { return false }
            for event in state.events where event.sequence > sequence { subscriber.yield(event) }
            state.eventSubscribers.append(subscriber)
            return true
        }
        if !isConnected { subscriber.finish(throwing: Self.lost) }
    }

    func subscribe(
        _ subscriber: AsyncThrowingStream<GuestOutput, any Error>.Continuation,
        from position: UInt64,
        connection: Int
    ) {
        enum Outcome { case lost, ended, follows }
        let outcome = state.withLock { state -> Outcome in
            guard state.connection == connection, !state.isHalted else { return .lost }
            for output in state.output where output.offset + UInt64(output.bytes.count) > position {
                subscriber.yield(output.dropping(before: position))
            }
            if state.programHasExited { return .ended }
            state.outputSubscribers.append(subscriber)
            return .follows
        }
        switch outcome {
        case .lost: subscriber.finish(throwing: Self.lost)
        case .ended: subscriber.finish()
        case .follows: break
        }
    }

    func forgetOutput(before position: UInt64) {
        state.withLock { $0.output.removeAll { $0.offset + UInt64($0.bytes.count) <= position } }
    }

    func add(_ process: SimulatedProcess, connection: Int) throws {
        try state.withLock { state in
            guard state.connection == connection, !state.isHalted else { throw Self.lost }
            state.processes.append(process)
        }
    }

    private func report(_ kind: GuestEvent.Kind) {
        state.withLock { state in
            let sequence = state.events.count + 1
            let event = GuestEvent(sequence: sequence, uptimeMicroseconds: 1_000_000 + sequence, kind: kind)
            state.events.append(event)
            for subscriber in state.eventSubscribers { subscriber.yield(event) }
        }
    }
}

extension GuestOutput {
    fileprivate func dropping(before position: UInt64) -> GuestOutput {
        guard position > offset else { return self }
        var rest = self
        rest.bytes = Array(bytes.dropFirst(Int(position - offset)))
        rest.offset = position
        return rest
    }
}
