public import AgentCore
public import GuestProtocol
import Synchronization

/// A call of the hypervisor's ports, to make it fail or to see that it was made.
public enum HypervisorCall: String, Sendable, Hashable, CaseIterable {
    case information, start, restore, adopt, reap
    case openGuestChannel, pause, resume, snapshot, pressPowerButton, kill, counters
    case resize, attachDisk, detachDisk, attachCard, detachCard
    case acknowledgeOutput, acknowledgeExit, signalProgram, wakeUp, identify, exec, attach, files
    case mountVolume, unmountVolume
}

/// A host that exists in memory: its machines live on when the driver that started them is gone, as real ones do.
///
/// ``InMemoryHypervisor/restarted()`` makes the driver of the agent's next life on the same host.
public final class InMemoryHost: Sendable {
    /// What the next call of a kind does instead of its work.
    enum Injection: Sendable {
        case failure(AgentError)
        case hang
    }

    /// One call that was made.
    public struct Call: Sendable, Hashable {
        public var call: HypervisorCall
        /// nil for ``HypervisorCall/information``.
        public var instance: InstanceID?

        public init(_ call: HypervisorCall, _ instance: InstanceID?) {
            self.call = call
            self.instance = instance
        }
    }

    private struct State {
        var behaviour: GuestBehaviour
        var behaviours: [InstanceID: GuestBehaviour] = [:]
        var machines: [InstanceID: SimulatedMachine] = [:]
        /// What is in snapshots, by the word that their file has.
        var saved: [String: SimulatedGuest.Saved] = [:]
        var wakeUps: [InstanceID: [GuestWakeUp]] = [:]
        /// What was mounted in a guest while it ran.
        var volumes: [InstanceID: [GuestVolume]] = [:]
        var identities: [InstanceID: [GuestIdentity]] = [:]
        var injections: [HypervisorCall: [Injection]] = [:]
        /// Starts that hang once their machine runs.
        var hangingStarts = 0
        var hanging = 0
        var calls: [Call] = []
        var bootID = "00000000-0000-0000-0000-000000000001"
        var boots = 1
        var nextPID: Int32 = 1000
        var life = 1
    }

    private let state: Mutex<State>
    private let portCalls: PortCalls

    /// A host whose guests behave alike, where ``setBehaviour(_:for:)`` says nothing else.
    public init(behaviour: GuestBehaviour = GuestBehaviour(), calls: PortCalls = PortCalls()) {
        portCalls = calls
        state = Mutex(State(behaviour: behaviour))
    }

    // MARK: What a test does to it

    /// Changes how guests that boot from now on behave, one instance's or all the others'.
    public func setBehaviour(_ behaviour: GuestBehaviour, for instance: InstanceID? = nil) {
        state.withLock { state in
            if let instance { state.behaviours[instance] = behaviour } else { state.behaviour = behaviour }
        }
    }

    /// Makes the next `times` calls fail, before they do anything.
    public func fail(_ call: HypervisorCall, with error: AgentError, times: Int = 1) {
        state.withLock { $0.injections[call, default: []] += Array(repeating: .failure(error), count: times) }
    }

    /// Makes the next call wait until it is cancelled.
    ///
    /// `kill` cannot hang.
    public func hang(_ call: HypervisorCall) {
        state.withLock { $0.injections[call, default: []].append(.hang) }
    }

    /// Makes the next start wait until it is cancelled, with its machine running.
    public func hangAfterStart() { state.withLock { $0.hangingStarts += 1 } }

    /// How many calls hang now.
    public var hanging: Int { state.withLock { $0.hanging } }

    /// The machines whose VMM runs.
    public var running: Set<InstanceID> {
        state.withLock { Set($0.machines.filter(\.value.isAlive).keys) }
    }

    /// All calls so far, in order.
    public var calls: [Call] { state.withLock { $0.calls } }

    /// What an instance was last started with, and became since.
    public func description(of instance: InstanceID) -> MachineDescription? { machine(instance)?.current }

    /// What an instance's guest was told after a standstill.
    public func wakeUps(of instance: InstanceID) -> [GuestWakeUp] { state.withLock { $0.wakeUps[instance] ?? [] } }

    /// The volumes that an instance's guest has mounted while it ran.
    public func volumes(of instance: InstanceID) -> [GuestVolume] { state.withLock { $0.volumes[instance] ?? [] } }

    /// What an instance's guest was told of who it is.
    public func identities(of instance: InstanceID) -> [GuestIdentity] {
        state.withLock { $0.identities[instance] ?? [] }
    }

    /// Whether an instance's vCPUs are stopped.
    public func isPaused(_ instance: InstanceID) -> Bool { machine(instance)?.isPaused ?? false }

    /// Ends an instance's VMM from outside, as the kernel's OOM killer would.
    public func killVMM(of instance: InstanceID, exit: ProcessExit = .signal(9)) {
        machine(instance)?.end(exit)
    }

    /// Lets a guest whose behaviour was not to answer do so now.
    public func letGuestAnswer(_ instance: InstanceID) { machine(instance)?.guest.answer() }

    /// An instance's disk cannot grow: its machine stands still until it is resumed.
    public func runOutOfSpace(_ instance: InstanceID) { machine(instance)?.runOutOfSpace() }

    /// The program writes something.
    public func writeOutput(_ text: String, to stream: OutputStream = .stdout, of instance: InstanceID) {
        machine(instance)?.guest.write(Array(text.utf8), to: stream)
    }

    /// The serial console gets something.
    public func writeConsole(_ text: String, of instance: InstanceID) {
        machine(instance)?.writeConsole(Array(text.utf8))
    }

    /// The program ends by itself.
    public func exitProgram(of instance: InstanceID, _ exit: GuestExit) { machine(instance)?.guest.exitProgram(exit) }

    /// The guest powers itself off; its VMM exits.
    public func powerOff(_ instance: InstanceID) { machine(instance)?.powerOff() }

    /// The guest's kernel panics; its VMM exits.
    public func panic(_ instance: InstanceID) { machine(instance)?.panic() }

    /// Cuts an instance's channel, as a crash of hypeman-init's connection would; it can be opened again.
    public func dropChannel(of instance: InstanceID) { machine(instance)?.guest.disconnect() }

    /// Restarts the host: every VMM is gone, and the boot id is another one.
    public func reboot() {
        let machines = state.withLock { state in
            state.boots += 1
            state.bootID = "00000000-0000-0000-0000-\(String(repeating: "0", count: 11))\(state.boots % 10)"
            state.life += 1
            defer { state.machines = [:] }
            return Array(state.machines.values)
        }
        for machine in machines {
            machine.detach()
            machine.end(.unknown)
        }
    }

    // MARK: What the driver asks of it

    var bootID: String { state.withLock { $0.bootID } }
    var life: Int { state.withLock { $0.life } }

    func machine(_ instance: InstanceID) -> SimulatedMachine? { state.withLock { $0.machines[instance] } }

    /// Notes a call, and fails or hangs where that was asked for.
    func enter(_ call: HypervisorCall, _ instance: InstanceID?) async throws {
        let injection = state.withLock { state -> Injection? in
            state.calls.append(Call(call, instance))
            guard let injections = state.injections[call], !injections.isEmpty else { return nil }
            return state.injections[call]?.removeFirst()
        }
        try await portCalls.enter("hypervisor.\(call.rawValue)")
        switch injection {
        case nil: break
        case .failure(let error): throw error
        case .hang: try await hang()
        }
    }

    /// Hangs if the start that has just made its machine was to.
    func leaveStart() async throws {
        let hangs = state.withLock { state in
            guard state.hangingStarts > 0 else { return false }
            state.hangingStarts -= 1
            return true
        }
        if hangs { try await hang() }
    }

    private func hang() async throws {
        state.withLock { $0.hanging += 1 }
        defer { state.withLock { $0.hanging -= 1 } }
        try await OneShot<Void>().wait()
    }

    func note(_ call: HypervisorCall, _ instance: InstanceID) {
        state.withLock { $0.calls.append(Call(call, instance)) }
    }

    func note(_ news: GuestWakeUp, _ instance: InstanceID) {
        state.withLock { $0.wakeUps[instance, default: []].append(news) }
    }

    /// Mounts a volume, if its disk is there.
    func mount(_ volume: GuestVolume, _ instance: InstanceID) throws {
        guard machine(instance)?.current.disks.contains(where: { $0.serial == volume.disk }) == true else {
            throw AgentError(.invalidState, "the guest refused: the disk \(volume.disk) did not appear")
        }
        state.withLock { state in
            guard state.volumes[instance]?.contains(volume) != true else { return }
            state.volumes[instance, default: []].append(volume)
        }
    }

    func unmount(_ volume: GuestVolume, _ instance: InstanceID) {
        state.withLock { $0.volumes[instance]?.removeAll { $0.disk == volume.disk } }
    }

    func note(_ identity: GuestIdentity, _ instance: InstanceID) {
        state.withLock { $0.identities[instance, default: []].append(identity) }
    }

    /// Keeps what is in a machine's memory.
    ///
    /// - Returns: The word that finds it again.
    func save(_ machine: SimulatedMachine) -> String {
        let saved = machine.guest.saved(session: machine.session)
        return state.withLock { state in
            let word = "saved-\(state.saved.count)"
            state.saved[word] = saved
            return word
        }
    }

    func saved(_ word: String) -> SimulatedGuest.Saved? { state.withLock { $0.saved[word] } }

    func boot(
        _ description: MachineDescription,
        session: String,
        saved: SimulatedGuest.Saved? = nil
    ) throws -> SimulatedMachine {
        try state.withLock { state in
            let instance = description.instance
            guard state.machines[instance]?.isAlive != true else {
                throw AgentError(.internal, "instance \(instance) has a running machine already")
            }
            state.nextPID += 1
            let identity = ProcessIdentity(
                pid: state.nextPID,
                startTime: UInt64(state.nextPID) * 100,
                bootID: state.bootID
            )
            if saved == nil { state.volumes[instance] = nil }
            let behaviour = state.behaviours[instance] ?? state.behaviour
            let machine = SimulatedMachine(
                description: description,
                session: session,
                identity: identity,
                life: state.life,
                behaviour: behaviour,
                saved: saved
            )
            state.machines[instance] = machine
            return machine
        }
    }

    func endLife() -> Int {
        let (life, machines) = state.withLock { state in
            state.life += 1
            return (state.life, Array(state.machines.values))
        }
        for machine in machines { machine.detach() }
        return life
    }
}
