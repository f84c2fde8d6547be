import AgentCore
import Synchronization

/// A VMM process that isn't one: it goes on when the agent's side of it (``InMemoryMachine``) is gone.
final class SimulatedMachine: Sendable {
    private struct State {
        var isPaused = false
        /// Taken up from disk, and not yet resumed: that is no event.
        var isFresh = false
        var isOutOfSpace = false
        var exit: ProcessExit?
        /// Console bytes that were written before anyone was attached.
        var earlyConsole: [UInt8] = []
        var events: AsyncStream<MachineEvent>.Continuation?
        var console: AsyncStream<[UInt8]>.Continuation?
        /// The life of the agent that holds the other ends.
        var life: Int
        /// As it was started, and as it was changed since.
        var description: MachineDescription
    }

    let instance: InstanceID
    let session: String
    let identity: ProcessIdentity
    let guest: SimulatedGuest
    /// The life of the agent whose child it is.
    private let parentLife: Int
    private let behaviour: GuestBehaviour
    private let state: Mutex<State>

    init(
        description: MachineDescription,
        session: String,
        identity: ProcessIdentity,
        life: Int,
        behaviour: GuestBehaviour,
        saved: SimulatedGuest.Saved? = nil
    ) {
        instance = description.instance
        self.session = session
        self.identity = identity
        self.behaviour = behaviour
        parentLife = life
        guest =
            saved.map { SimulatedGuest($0) }
            ?? SimulatedGuest(behaviour: behaviour, bootID: "guest-boot-\(identity.pid)")
        let console = saved == nil ? Array(behaviour.console.utf8) : []
        state = Mutex(
            State(
                isPaused: saved != nil,
                isFresh: saved != nil,
                earlyConsole: console,
                life: life,
                description: description
            )
        )
    }

    var isAlive: Bool { state.withLock { $0.exit == nil } }
    /// What it is now.
    var current: MachineDescription { state.withLock { $0.description } }
    var isPaused: Bool { state.withLock { $0.isPaused } }

    /// Connects the agent of a life; what was connected before is cut.
    func attach(
        events: AsyncStream<MachineEvent>.Continuation,
        console: AsyncStream<[UInt8]>.Continuation,
        life: Int
    ) {
        detach()
        let exit = state.withLock { state in
            state.life = life
            state.events = events
            state.console = console
            // As a real one that is taken over tells it.
            if state.isPaused, !state.isFresh { events.yield(state.isOutOfSpace ? .outOfSpace : .paused) }
            if !state.earlyConsole.isEmpty { console.yield(state.earlyConsole) }
            state.earlyConsole = []
            return state.exit
        }
        if let exit { finish(exit) }
    }

    /// Lets the guest run after the start.
    func boot() {
        if let failure = behaviour.bootFailure { end(failure) } else { guest.boot() }
    }

    func detach() {
        guest.disconnect()
        let (events, console) = state.withLock { state in
            defer { (state.events, state.console) = (nil, nil) }
            return (state.events, state.console)
        }
        events?.finish()
        console?.finish()
    }

    func setPaused(_ paused: Bool) throws {
        try requireAlive()
        state.withLock { state in
            guard state.isPaused != paused else { return }
            state.isPaused = paused
            guard !state.isFresh else {
                state.isFresh = false
                return
            }
            guard !state.isOutOfSpace else {
                state.isOutOfSpace = false
                return
            }
            _ = state.events?.yield(paused ? .paused : .resumed)
        }
    }

    /// Stands still for want of room on the host's disk, without saying that it is paused.
    func runOutOfSpace() {
        state.withLock { state in
            state.isPaused = true
            state.isOutOfSpace = true
            _ = state.events?.yield(.outOfSpace)
        }
    }

    func pressPowerButton() throws {
        try requireAlive()
        guard behaviour.heedsPowerButton else { return }
        powerOff()
    }

    func powerOff() {
        state.withLock { _ = $0.events?.yield(.poweredOff) }
        end(.code(0))
    }

    func panic() {
        state.withLock { _ = $0.events?.yield(.panicked) }
        end(.code(0))
    }

    func writeConsole(_ bytes: [UInt8]) {
        state.withLock { state in
            if let console = state.console { console.yield(bytes) } else { state.earlyConsole += bytes }
        }
    }

    /// The process ends; the first time counts.
    func end(_ exit: ProcessExit) {
        let isFirst = state.withLock { state in
            guard state.exit == nil else { return false }
            state.exit = exit
            return true
        }
        guard isFirst else { return }
        guest.halt()
        finish(exit)
    }

    /// Changes what it is, if it still runs.
    func change(_ body: (inout MachineDescription) throws -> Void) throws {
        try requireAlive()
        try state.withLock { try body(&$0.description) }
    }

    func requireAlive() throws {
        guard isAlive else {
            throw AgentError(.invalidState, "the machine of instance \(instance) has exited")
        }
    }

    private func finish(_ exit: ProcessExit) {
        let (events, console, isChild) = state.withLock { state in
            defer { (state.events, state.console) = (nil, nil) }
            return (state.events, state.console, state.life == parentLife)
        }
        // The kernel tells an exit status to the parent only.
        events?.yield(.exited(isChild ? exit : .unknown))
        events?.finish()
        console?.finish()
    }
}
