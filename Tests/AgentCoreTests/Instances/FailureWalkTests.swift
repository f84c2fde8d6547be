import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

/// Every call that an operation makes of a port fails once, and is the last one of the agent's life once, of the VMM's, and
/// of the instance's.
@Suite(.timeLimit(.minutes(5))) struct FailureWalkTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")

    @Test(arguments: WalkedOperation.allCases)
    func aCallThatFailsLosesNothing(_ operation: WalkedOperation) async throws {
        for point in try await operation.points() {
            try await AgentWorld.with { world in
                let before = try await operation.prepare(world)
                world.calls.listen(for: point, .fail(Self.broken))
                let result = await outcome { try await operation.perform(world.instances) }
                try await operation.check(&world, before, result, "\(point) failed")
            }
        }
    }

    @Test(arguments: WalkedOperation.allCases)
    func anAgentThatDiesAtACallLosesNothing(_ operation: WalkedOperation) async throws {
        for point in try await operation.points() {
            try await AgentWorld.with { world in
                let before = try await operation.prepare(world)
                world.calls.listen(for: point, .hang)
                let work = Task { [instances = world.instances] in try await operation.perform(instances) }
                try await operation.reach(world, work)
                try await world.restart()
                try await operation.check(&world, before, await work.result, "the agent died at \(point)")
            }
        }
    }

    @Test(arguments: WalkedOperation.allCases)
    func aDeleteOvertakesACallThatHangs(_ operation: WalkedOperation) async throws {
        // A state that cannot be stored holds up everything. What takes a device away is waited for also by a delete: who
        // has the address next must not share it. So is what removes saved memory: half of it is never left for whole.
        let awaited: Set = ["store.commit", "network.detach", "snapshots.remove"]
        for point in try await operation.points() where !awaited.contains(point.name) {
            try await AgentWorld.with { world in
                let before = try await operation.prepare(world)
                world.calls.listen(for: point, .hang)
                let work = Task { [instances = world.instances] in try await operation.perform(instances) }
                try await operation.reach(world, work)
                try await world.instances.delete("web")
                _ = await work.result
                #expect(throws: AgentError.self, "\(point)") { try world.instances.get("web") }
                #expect(!world.host.running.contains(before.id), "\(point)")
                #expect(world.network.attached[before.id] == nil, "\(point)")
                #expect(world.disks.overlaySize(of: before.id) == nil, "\(point)")
                try await operation.checkLeftovers(&world, "the instance was deleted at \(point)")
            }
        }
    }

    @Test(arguments: WalkedOperation.allCases)
    func aVMMThatDiesAtACallIsNoticed(_ operation: WalkedOperation) async throws {
        let points = try await operation.points()
        // Up to there a memory that lay on disk does.
        let resumes = points.firstIndex { $0.name == "hypervisor.resume" } ?? points.count
        for (number, point) in points.enumerated() {
            // No time passes: what happens does not wait for any.
            try await AgentWorld.with(time: TimeSource(now: { Fixtures.time }, clock: ManualClock())) { world in
                let before = try await operation.prepare(world)
                let host = world.host
                world.calls.listen(for: point, .run { for id in host.running { host.killVMM(of: id) } })
                _ = await outcome { try await operation.perform(world.instances) }
                for instance in world.instances.list() {
                    let end = try await world.rest(of: instance.id)
                    if host.running.contains(end.id) {
                        #expect(end.state == .running, "\(point): \(end.name)")
                        continue
                    }
                    #expect(end.state == .stopped || end.state == .standby, "\(point): \(end.name) is \(end.state)")
                    if end.state == .stopped, end.exit?.reason == .machineDied {
                        let reason = end.stateError ?? "no reason"
                        #expect(reason.contains("signal 9"), "\(point): \(reason)")
                    }
                    if end.state == .stopped { #expect(end.exit != nil, "\(point): \(end.name) has no reason") }
                }
                if operation.beginsWithMemoryOnDisk, operation != .restore || number <= resumes {
                    #expect(try world.instances.get("web").state != .stopped, "\(point): its memory was on disk")
                }
                #expect(try world.instances.get("web").id == before.id, "\(point)")
                for instance in world.instances.list() { try await world.instances.delete(instance.id.rawValue) }
                #expect(world.host.running.isEmpty && world.network.attached.isEmpty, "\(point)")
            }
        }
    }
}
