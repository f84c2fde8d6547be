public import AgentCore
import Foundation
import Synchronization
import SystemPackage

/// The hypervisor port in memory: machines without a VMM, guests that behave as they are told.
public final class InMemoryHypervisor: HypervisorDriver {
    /// Where its machines live, and what a test does to them.
    public let host: InMemoryHost
    public let name: HypervisorName
    private let life: Int
    private let isDead = Mutex(false)

    /// A driver on a host of its own.
    public convenience init(name: HypervisorName = .qemu, behaviour: GuestBehaviour = GuestBehaviour()) {
        self.init(name: name, host: InMemoryHost(behaviour: behaviour))
    }

    /// A driver on a host that is there.
    public convenience init(name: HypervisorName = .qemu, host: InMemoryHost) {
        self.init(name: name, host: host, life: host.life)
    }

    private init(name: HypervisorName, host: InMemoryHost, life: Int) {
        self.name = name
        self.host = host
        self.life = life
    }

    /// The driver of the agent's next life, while this one starts and ends nothing any more.
    ///
    /// Machines run on; channels and streams of this life end as they do with a process, and no exit is reported to it.
    public func restarted() -> InMemoryHypervisor {
        isDead.withLock { $0 = true }
        return InMemoryHypervisor(name: name, host: host, life: host.endLife())
    }

    private func requireLife() throws {
        if isDead.withLock({ $0 }) { throw AgentError(.unavailable, "this life of the agent has ended") }
    }

    public func information() async throws -> HypervisorInformation {
        try await host.enter(.information, nil)
        return HypervisorInformation(
            name: name,
            version: "1.0.0",
            executable: "/nonexistent/vmm",
            accelerator: .tcg,
            acceleratorReason: "it exists in memory only",
            capabilities: HypervisorCapabilities(
                pause: true,
                snapshot: true,
                hotplug: true,
                resize: true,
                lazyRestore: false
            )
        )
    }

    public func start(_ machine: MachineDescription, session: String) async throws -> any VirtualMachine {
        try await host.enter(.start, machine.instance)
        try Task.checkCancellation()
        try requireLife()
        let simulated = try host.boot(machine, session: session)
        try await host.leaveStart()
        let live = InMemoryMachine(simulated, host: host, hypervisor: name, life: life)
        simulated.boot()
        return live
    }

    public func restore(
        _ machine: MachineDescription,
        from directory: SnapshotDirectory,
        session: String
    ) async throws -> any VirtualMachine {
        try await host.enter(.restore, machine.instance)
        try Task.checkCancellation()
        try requireLife()
        let path = directory.path.appending(Self.stateName).string
        guard let word = try? String(contentsOfFile: path, encoding: .utf8), let saved = host.saved(word) else {
            throw AgentError(.invalidState, code: "snapshot_unreadable", "nothing was saved in \(directory.path)")
        }
        let simulated = try host.boot(machine, session: session, saved: saved)
        return InMemoryMachine(simulated, host: host, hypervisor: name, life: life)
    }

    /// The file of a snapshot.
    static let stateName = "state"

    public func adopt(_ record: MachineRecord, instance: InstanceID) async throws -> (any VirtualMachine)? {
        try await host.enter(.adopt, instance)
        guard let simulated = host.machine(instance), simulated.isAlive, simulated.identity == record.process else {
            return nil
        }
        return InMemoryMachine(simulated, host: host, hypervisor: name, life: life)
    }

    public func reap(instance: InstanceID, runtimeDirectory: RuntimeDirectory) async throws {
        try await host.enter(.reap, instance)
        try requireLife()
        host.machine(instance)?.end(.signal(9))
    }
}
