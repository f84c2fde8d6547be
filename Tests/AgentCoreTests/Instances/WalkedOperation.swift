import AgentCore
import AgentTestSupport
import GuestProtocol
import SystemPackage
import Testing

/// An operation with what it begins with, what it asks the ports for, and what must be true after it, however it ended.
enum WalkedOperation: String, CaseIterable, Sendable {
    case standby, standbyOfPaused, restore, snapshot, snapshotInStandby, bringBack, bringBackInStandby
    case forkRunning, forkStandby, forkStopped, forkSnapshot

    /// Whether it makes another instance.
    var isFork: Bool { [.forkRunning, .forkStandby, .forkStopped, .forkSnapshot].contains(self) }

    // MARK: What happens

    /// Makes the instance `web`, in the state that the operation is for, and the snapshot `kept` of it.
    func prepare(_ world: AgentWorld) async throws -> Instance {
        let instances = world.instances
        let id = try await world.make("web").id
        while try instances.get("web").guestFeatures == nil { await Task.yield() }
        if usesSnapshot {
            let request = CreateSnapshotRequest(kind: .standby, name: try InstanceName("kept"))
            _ = try await instances.createSnapshot("web", request)
        }
        switch self {
        case .standby, .snapshot, .forkRunning, .forkSnapshot: break
        case .standbyOfPaused: _ = try await instances.pause("web")
        case .restore, .snapshotInStandby, .bringBackInStandby, .forkStandby: _ = try await instances.standby("web")
        case .bringBack, .forkStopped: _ = try await instances.stop("web")
        }
        return try instances.get(id.rawValue)
    }

    private var usesSnapshot: Bool { [.bringBack, .bringBackInStandby, .forkSnapshot].contains(self) }

    func perform(_ instances: InstancesService) async throws {
        switch self {
        case .standby, .standbyOfPaused: _ = try await instances.standby("web")
        case .restore: _ = try await instances.restore("web")
        case .snapshot, .snapshotInStandby:
            _ = try await instances.createSnapshot("web", CreateSnapshotRequest(kind: .standby))
        case .bringBack, .bringBackInStandby: _ = try await instances.restoreSnapshot("web", "kept", to: .running)
        case .forkRunning, .forkStandby, .forkStopped: _ = try await instances.fork("web", try request())
        case .forkSnapshot: _ = try await instances.forkSnapshot("kept", try request())
        }
    }

    private func request() throws -> ForkInstanceRequest {
        ForkInstanceRequest(name: try InstanceName("twin"), fromRunning: true, target: .running)
    }

    /// What it asks the ports for when all goes well.
    func points() async throws -> [PortCalls.Point] {
        let record = Record()
        try await AgentWorld.with { world in
            _ = try await prepare(world)
            world.calls.listen()
            try await perform(world.instances)
            record.points = world.calls.points
        }
        try #require(record.points.count > 3)
        return record.points
    }

    private final class Record: @unchecked Sendable {  // One task writes, and then reads.
        var points: [PortCalls.Point] = []
    }

    /// Waits until a call hangs, or the operation has ended without making it.
    func reach(_ world: AgentWorld, _ work: Task<Void, any Error>) async throws {
        let done = OneShot<Void>()
        Task {
            _ = await work.result
            done.fulfil(())
        }
        while world.calls.hanging == 0, done.value == nil { await Task.yield() }
    }

    // MARK: What must be true

    /// Nothing is lost, nothing leaks, and the instances can be used.
    func check(
        _ world: inout AgentWorld,
        _ before: Instance,
        _ result: Result<Void, any Error>,
        _ what: String
    ) async throws {
        for instance in world.instances.list() { _ = try await world.rest(of: instance.id) }
        try await checkMemory(world, before, what)
        if case .failure = result { checkTwin(world, what) }
        try checkMachines(world, what)
        try await checkLeftovers(&world, what)
        try await checkUse(world, what)
    }

    /// Whether the memory of `web` is on disk and stays there: until its guest runs, in a restore.
    func keepsMemory(upTo beforeItRuns: Bool) -> Bool {
        switch self {
        case .snapshotInStandby, .forkStandby: true
        case .restore: beforeItRuns
        default: false
        }
    }

    /// An instance whose VMM has died is Stopped with the reason, or has its memory on disk.
    func checkEnd(_ end: Instance, _ what: String) throws {
        guard end.state == .stopped else {
            #expect(end.state == .standby && end.exit == nil, "\(what): \(end.name) is \(end.state)")
            return
        }
        let exit = try #require(end.exit, "\(what): \(end.name) has no reason")
        #expect([.machineDied, .startFailed, .stopped].contains(exit.reason), "\(what): \(exit)")
        if exit.reason == .machineDied {
            #expect(end.stateError?.contains("signal 9") == true, "\(what): \(end.stateError ?? "nil")")
        }
    }

    /// Who had a memory has it still.
    private func checkMemory(_ world: AgentWorld, _ before: Instance, _ what: String) async throws {
        // What was reported on the way may still have to be seen.
        let settled = try await world.instance(before.id, becomes: { hasKept(its: before, as: $0) })
        let after = try world.instances.get(before.id.rawValue)
        #expect(settled, "\(what): it was \(before.state), and is \(after.state)")
        if let standby = after.standby, after.state == .standby {
            let manifest = try await world.snapshots.manifest(of: standby.snapshot)
            #expect(manifest.memory != nil, "\(what)")
            try await world.snapshots.verify(standby.snapshot)
        }
        for snapshot in world.instances.snapshots() { try await world.snapshots.verify(snapshot.id) }
        if usesSnapshot { #expect(throws: Never.self, "\(what)") { try world.instances.snapshot("kept") } }
    }

    private func hasKept(its before: Instance, as after: Instance) -> Bool {
        switch self {
        case .standby, .standbyOfPaused:
            after.state == .standby || after.state == before.state && after.machine == before.machine
        case .restore: [.running, .standby].contains(after.state)
        case .bringBack, .bringBackInStandby: [.running, .standby, .stopped].contains(after.state)
        case .snapshot, .snapshotInStandby, .forkRunning, .forkStandby, .forkStopped, .forkSnapshot:
            after.state == before.state && after.machine == before.machine && after.standby == before.standby
        }
    }

    /// A fork that failed is gone; one that the agent's death cut off may have been whole already.
    private func checkTwin(_ world: AgentWorld, _ what: String) {
        guard let twin = try? world.instances.get("twin") else { return }
        #expect(what.contains("died"), "\(what): the fork is \(twin.state)")
        #expect([.running, .standby, .stopped].contains(twin.state), "\(what): the fork is \(twin.state)")
    }

    private func checkMachines(_ world: AgentWorld, _ what: String) throws {
        let all = world.instances.list()
        let live = Set(all.filter { $0.machine != nil }.map(\.id))
        #expect(world.host.running == live, "\(what)")
        // A device that could not be taken away goes when the host is next brought in line.
        #expect(live.isSubset(of: world.network.attached.keys), "\(what)")
        for instance in all where instance.state == .running {
            #expect(!world.host.isPaused(instance.id), "\(what): \(instance.name) stands still")
        }
        // One that is resumed for the agent's sake is seen to run a moment after it does.
        for instance in all where instance.state == .paused && instance.desired == .paused {
            #expect(world.host.isPaused(instance.id), "\(what)")
        }
    }

    /// What could not be removed at once is after the next start.
    func checkLeftovers(_ world: inout AgentWorld, _ what: String) async throws {
        world.calls.listen()
        try await world.restart()
        for instance in world.instances.list() { _ = try await world.rest(of: instance.id) }
        let all = world.instances.list()
        let snapshots = Set(all.compactMap(\.standby?.snapshot) + world.instances.snapshots().map(\.id))
        #expect(world.snapshots.all == snapshots, "\(what): saved memory of nobody")
        let stored = try await world.store.load()
        #expect(Set(stored.instances.map(\.id)) == Set(all.map(\.id)), "\(what)")
        #expect(stored.operations.isEmpty, "\(what): operations that never end")
        let expected = Set(
            all.flatMap { instance -> [HostResource] in
                let disks = HostResource(owner: instance.id, kind: .disks, value: "")
                guard instance.machine != nil, let attachment = instance.attachment else { return [disks] }
                let path = world.runtime.appending("vms").appending(instance.id.rawValue).string
                return [
                    disks, HostResource(owner: instance.id, kind: .machine, value: path),
                    HostResource(owner: instance.id, kind: .network, value: attachment.tap),
                ]
            }
        )
        #expect(Set(stored.resources) == expected, "\(what): the journal")
        let known = Set(all.map(\.id))
        #expect(try await Set(world.disks.instances()).isSubset(of: known), "\(what): disks of nobody")
        #expect(world.host.running.isSubset(of: known), "\(what): machines of nobody")
        let live = Set(all.filter { $0.machine != nil }.map(\.id))
        #expect(Set(world.network.attached.keys) == live, "\(what): devices of nobody")
        try checkMachines(world, what)
    }

    /// Whatever state they are in, they can be stopped, started, and deleted.
    func checkUse(_ world: AgentWorld, _ what: String) async throws {
        let instances = world.instances
        for instance in instances.list() {
            let name = instance.name.rawValue
            if instance.state == .standby {
                #expect(try await instances.restore(name).state == .running, "\(what): \(name)")
            }
            #expect(try await instances.stop(name).state == .stopped, "\(what): \(name)")
            _ = try await instances.start(name)
            _ = try await world.wait(instance.id, for: .running)
            try await instances.delete(name)
        }
        #expect(world.host.running.isEmpty && world.network.attached.isEmpty, "\(what)")
        _ = try await world.make("twin")
    }
}

extension AgentWorld {
    /// Waits until every instance is at rest and says of its VMM what is true of it.
    ///
    /// - Returns: The instances; one that is deleted meanwhile, as a fork that came to nothing is, is not among them.
    func ends() async throws -> [Instance] {
        var ends: [Instance] = []
        for instance in instances.list() {
            for await now in directory.changes(of: instance.id)
            where now.isAtRest && (now.machine != nil) == host.running.contains(now.id) {
                ends.append(now)
                break
            }
        }
        return ends
    }

    /// Waits until an instance is in a state that nothing takes it out of by itself.
    func rest(of id: InstanceID) async throws -> Instance {
        for await instance in directory.changes(of: id) where instance.isAtRest { return instance }
        throw ConformanceFailure("instance \(id) was deleted")
    }

    /// Whether an instance comes to be what is expected, within five seconds.
    func instance(_ id: InstanceID, becomes fits: @escaping @Sendable (Instance) -> Bool) async throws -> Bool {
        let changes = directory.changes(of: id)
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await instance in changes where fits(instance) { return true }
                return false
            }
            group.addTask {
                try await Task.sleep(for: .seconds(5))
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
    }
}

extension Instance {
    /// Whether nothing takes it out of its state by itself.
    fileprivate var isAtRest: Bool {
        switch state {
        case .running: formerIdentity == nil && desired == .running
        case .paused: desired == .paused
        case .standby: desired == .standby
        case .stopped: desired == .stopped
        default: false
        }
    }
}

/// What becomes of some work, error or not.
func outcome(of body: () async throws -> Void) async -> Result<Void, any Error> {
    do { return .success(try await body()) } catch { return .failure(error) }
}
