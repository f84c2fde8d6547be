import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct InstancesRecoveryTests {
    @Test func aRunningMachineIsAdoptedWithItsOutputAndCommands() async throws {
        try await AgentWorld.with { world in
            let before = try await world.make("web")
            world.host.writeOutput("one\n", of: before.id)
            try await world.restart()
            world.host.writeOutput("two\n", of: before.id)
            let after = try world.instances.get("web")
            #expect(after.state == .running)
            #expect(after.machine == before.machine)
            let request = ExecRequest(program: GuestProgram(arguments: ["true"], environment: []))
            // The channel of the new life comes up by itself.
            while (try? await world.instances.exec("web", request, patience: .zero)) == nil { await Task.yield() }
            world.host.exitProgram(of: before.id, GuestExit(code: 7))
            let stopped = try await world.wait(before.id, for: .stopped)
            #expect(stopped.exit?.code == 7)
            #expect(world.logs.text(of: before.id) == "one\ntwo")
        }
    }

    @Test func anExitWhileTheAgentWasAwayIsNotLost() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let host = world.host
            try await world.restart {
                host.writeOutput("last words\n", of: instance.id)
                host.exitProgram(of: instance.id, GuestExit(code: 5))
            }
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.code == 5)
            #expect(world.logs.text(of: instance.id) == "last words")
        }
    }

    @Test func aMachineThatDiedMeanwhileIsStopped() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let host = world.host
            try await world.restart { host.killVMM(of: instance.id) }
            let stopped = try world.instances.get("web")
            #expect(stopped.state == .stopped)
            #expect(stopped.exit?.reason == .machineDied)
            #expect(try await world.store.load().resources.map(\.kind) == [.disks])
            _ = try await world.instances.start("web")
        }
    }

    @Test func afterAHostRebootEverythingIsStopped() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.restart()
            try await world.restart(rebootingHost: true)
            let stopped = try world.instances.get(instance.id.rawValue)
            #expect(stopped.state == .stopped)
            #expect(stopped.exit?.reason == .hostShutdown)
            #expect(stopped.machine == nil)
            _ = try await world.instances.start("web")
        }
    }

    @Test func aCreateThatWasCutOffIsGone() async throws {
        try await AgentWorld.with { world in
            world.host.hang(.start)
            let create = Task { [world] in try await world.instances.create(try world.request("web")) }
            while !world.host.calls.contains(where: { $0.call == .start }) { await Task.yield() }
            let snapshot = try await world.store.load()
            try await world.restart()
            await #expect(throws: AgentError.self) { try await create.value }
            // The state as it was on disk at the moment of a crash.
            try await world.store.commit(
                snapshot.instances.map(StateChange.putInstance) + snapshot.resources.map(StateChange.recordResource)
            )
            try await world.restart()
            #expect(world.instances.list().isEmpty)
            let stored = try await world.store.load()
            #expect(stored.instances.isEmpty && stored.resources.isEmpty)
            _ = try await world.make("web")
        }
    }

    @Test func aDeleteThatWasCutOffIsFinished() async throws {
        try await AgentWorld.with { world in
            var instance = try await world.make("web")
            instance.desired = .deleted
            try await world.store.commit([.putInstance(instance)])
            try await world.restart()
            #expect(world.instances.list().isEmpty)
            #expect(world.host.running.isEmpty)
            #expect(world.disks.overlaySize(of: instance.id) == nil)
        }
    }

    @Test func aStopThatWasCutOffGoesOn() async throws {
        try await AgentWorld.with { world in
            var instance = try await world.make("web")
            instance.desired = .stopped
            try await world.store.commit([.putInstance(instance)])
            try await world.restart()
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.reason == .stopped)
        }
    }

    @Test func disksThatNobodyOwnsAreRemoved() async throws {
        try await AgentWorld.with { world in
            let stray = InstanceID.random()
            _ = try await world.disks.createOverlay(for: stray, size: .gibibytes(1))
            try await world.restart()
            #expect(world.disks.overlaySize(of: stray) == nil)
        }
    }

    @Test func anOperationThatWasUnderWayHasEnded() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let operation = Operation(
                id: "x",
                instance: instance.id,
                kind: .stop,
                state: .running,
                createdAt: Fixtures.time
            )
            try await world.store.commit([.putOperation(operation)])
            try await world.restart()
            #expect(try await world.store.load().operations.isEmpty)
        }
    }
}
