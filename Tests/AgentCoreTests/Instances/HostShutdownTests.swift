import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

/// What a host's shutdown asks of instances, and what becomes of them after it.
@Suite struct HostShutdownTests {
    private static let shutdown = StopInstanceRequest(isForHostShutdown: true)

    private static func make(_ name: String, _ policy: RestartPolicy?, in world: AgentWorld) async throws -> Instance {
        var request = try world.request(name)
        if let policy { request.restartPolicy = policy }
        let instance = try await world.instances.create(request)
        return try await world.wait(instance.id, for: .running)
    }

    @Test func thoseWithAPolicyComeBackWithTheAgentAndNoOthers() async throws {
        try await AgentWorld.with { world in
            let policy = RestartPolicy(mode: .always, backoff: .milliseconds(100))
            let kept = try await Self.make("kept", policy, in: world)
            let gone = try await Self.make("gone", nil, in: world)
            for name in ["kept", "gone"] {
                let stopped = try await world.instances.stop(name, Self.shutdown)
                #expect(stopped.state == .stopped)
                #expect(stopped.exit?.reason == .hostShutdown)
                #expect(stopped.exit?.message == "the host was shut down")
            }
            #expect(try world.instances.get("kept").nextRestart != nil)
            // Not while the host goes down.
            try await Task.sleep(for: .milliseconds(300))
            #expect(try world.instances.get("kept").boots == 1)

            try await world.restart(rebootingHost: true)
            for await instance in world.directory.changes(of: kept.id)
            where instance.state == .running && instance.boots == 2 { break }
            #expect(try world.instances.get(gone.id.rawValue).state == .stopped)
            #expect(try world.instances.get("gone").desired == .stopped)
        }
    }

    @Test func aProgramThatDoesNotEndIsKilledForThat() async throws {
        var behaviour = GuestBehaviour()
        behaviour.exitOnSignal = nil
        try await AgentWorld.with(behaviour: behaviour) { world in
            _ = try await Self.make("web", nil, in: world)
            var request = Self.shutdown
            request.signalDeadline = .milliseconds(100)
            let stopped = try await world.instances.stop("web", request)
            #expect(stopped.exit?.reason == .hostShutdown)
            #expect(stopped.exit?.message?.contains("did not end within") == true)
        }
    }

    @Test func whatDoesNotRunIsLeftAsItIs() async throws {
        try await AgentWorld.with { world in
            _ = try await Self.make("web", nil, in: world)
            let before = try await world.instances.stop("web")
            #expect(try await world.instances.stop("web", Self.shutdown) == before)
            _ = try await world.instances.start("web")
            _ = try await world.wait(before.id, for: .running)
            let standby = try await world.instances.standby("web")
            #expect(try await world.instances.stop("web", Self.shutdown) == standby)
        }
    }

    @Test func wantOfMemoryHasANameOfItsOwn() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make("web", nil, in: world)
            world.host.killVMM(of: instance.id, exit: .outOfMemory)
            let stopped = try await world.wait(instance.id, for: .stopped)
            #expect(stopped.exit?.reason == .outOfMemory)
            #expect(stopped.stateError?.contains("more memory") == true)
        }
    }
}
