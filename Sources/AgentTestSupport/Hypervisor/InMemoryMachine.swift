import AgentCore
import Foundation
import SystemPackage

/// The agent's side of a ``SimulatedMachine``.
final class InMemoryMachine: VirtualMachine {
    let record: MachineRecord
    let events: AsyncStream<MachineEvent>
    let console: AsyncStream<[UInt8]>
    private let machine: SimulatedMachine
    private let host: InMemoryHost
    private let life: Int
    private var instance: InstanceID { machine.instance }

    init(_ machine: SimulatedMachine, host: InMemoryHost, hypervisor: HypervisorName, life: Int) {
        self.machine = machine
        self.host = host
        self.life = life
        record = MachineRecord(
            hypervisor: hypervisor,
            version: "1.0.0",
            accelerator: .tcg,
            process: machine.identity,
            runtimeDirectory: machine.current.runtimeDirectory,
            session: machine.session
        )
        let (events, eventsContinuation) = AsyncStream.makeStream(of: MachineEvent.self)
        let (console, consoleContinuation) = AsyncStream.makeStream(of: [UInt8].self)
        self.events = events
        self.console = console
        machine.attach(events: eventsContinuation, console: consoleContinuation, life: life)
    }

    /// A dead process asks for nothing.
    private func enter(_ call: HypervisorCall) async throws {
        try await host.enter(call, instance)
        guard host.life == life else { throw AgentError(.unavailable, "this life of the agent has ended") }
    }

    func openGuestChannel() async throws -> any GuestChannel {
        try await enter(.openGuestChannel)
        return try await machine.guest.connect(host: host, instance: instance)
    }

    func pause() async throws {
        try await enter(.pause)
        try machine.setPaused(true)
    }

    func resume() async throws {
        try await enter(.resume)
        try machine.setPaused(false)
    }

    func snapshot(to directory: SnapshotDirectory) async throws {
        try await enter(.snapshot)
        try machine.requireAlive()
        guard machine.isPaused else {
            throw AgentError(.invalidState, "the machine of instance \(instance) runs and cannot be saved")
        }
        let path = directory.path.appending(InMemoryHypervisor.stateName).string
        try host.save(machine).write(toFile: path, atomically: true, encoding: .utf8)
    }

    func resize(to size: MachineSize) async throws {
        try await enter(.resize)
        try machine.resize(to: size)
    }

    func attach(_ disk: MachineDescription.Disk) async throws {
        try await enter(.attachDisk)
        try machine.attach(disk)
    }

    func detach(_ disk: MachineDescription.Disk) async throws {
        try await enter(.detachDisk)
        try machine.detach(disk)
    }

    func attach(_ card: MachineDescription.Card) async throws {
        try await enter(.attachCard)
        try machine.attach(card)
    }

    func detachCard() async throws {
        try await enter(.detachCard)
        try machine.detachCard()
    }

    func pressPowerButton() async throws {
        try await enter(.pressPowerButton)
        try machine.pressPowerButton()
    }

    func kill() async {
        guard host.life == life else { return }
        host.note(.kill, instance)
        machine.end(.signal(9))
    }

    func counters() async throws -> MachineCounters {
        try await enter(.counters)
        try machine.requireAlive()
        return MachineCounters(
            cpuTime: .milliseconds(1500),
            residentMemory: .mebibytes(64),
            virtualMemory: machine.current.currentSize.memory,
            disks: DiskCounters(readBytes: 4096, writtenBytes: 512, reads: 2, writes: 1),
            size: machine.current.currentSize
        )
    }
}
