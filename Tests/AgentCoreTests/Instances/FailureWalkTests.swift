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

    /// A fork goes on when its source is deleted: it is another instance's by then.
    @Test(arguments: WalkedOperation.allCases.filter { !$0.isFork })
    func aDeleteOvertakesACallThatHangs(_ operation: WalkedOperation) async throws {
        // A state that cannot be stored holds up everything. What takes a device away is waited for also by a delete: who
        // has the address next must not share it. So is what removes saved memory: half of it is never left for whole.
        // A machine that stood still for the agent's sake is seen to go on; a VMM's answer has a deadline of its own there.
        let awaited: Set = [
            "store.commit", "network.detach", "snapshots.remove", "hypervisor.resume", "hypervisor.wakeUp",
        ]
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
        let firstInstruction = points.firstIndex { $0.name == "hypervisor.resume" } ?? points.count
        for (index, point) in points.enumerated() {
            // No time passes: nothing stands between a VMM's end and that of its instance's run.
            try await AgentWorld.with(time: TimeSource(now: { Fixtures.time }, clock: ManualClock())) { world in
                let before = try await operation.prepare(world)
                let host = world.host
                world.calls.listen(for: point, .run { for id in host.running { host.killVMM(of: id) } })
                _ = await outcome { try await operation.perform(world.instances) }
                // A call that comes after the operation's end may not have come yet.
                world.calls.listen()
                let ends = try await world.ends()
                for end in ends where !host.running.contains(end.id) { try operation.checkEnd(end, "\(point)") }
                let web = try #require(ends.first { $0.id == before.id }, "\(point)")
                if operation.keepsMemory(upTo: index < firstInstruction) {
                    #expect(web.state == .standby || web.state == .running, "\(point): its memory was on disk")
                }
                try await operation.checkUse(world, "the VMM died at \(point)")
            }
        }
    }

    @Test func aVMMThatDiesWhileItIsSavedIsTheReasonOfTheEnd() async throws {
        try await AgentWorld.with { world in
            let before = try await WalkedOperation.standby.prepare(world)
            let host = world.host
            world.calls.listen(for: .init("hypervisor.snapshot"), .run { host.killVMM(of: before.id) })
            await #expect(throws: AgentError.self) { try await WalkedOperation.standby.perform(world.instances) }
            let end = try await world.rest(of: before.id)
            #expect(end.state == .stopped && end.exit?.reason == .machineDied)
            #expect(end.stateError?.contains("signal 9") == true, "\(end.stateError ?? "nil")")
        }
    }
}
