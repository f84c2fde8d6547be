import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import SystemPackage
import Testing

@Suite struct RestartPolicyTests {
    private static func policy(_ mode: RestartPolicy.Mode, attempts: Int? = nil) -> RestartPolicy {
        RestartPolicy(mode: mode, backoff: .milliseconds(100), maximumAttempts: attempts)
    }

    private static func make(_ policy: RestartPolicy, in world: AgentWorld) async throws -> Instance {
        var request = try world.request("job")
        request.restartPolicy = policy
        let instance = try await world.instances.create(request)
        return try await world.wait(instance.id, for: .running)
    }

    /// Waits for a value of the instance that fits.
    private static func wait(
        _ id: InstanceID,
        in world: AgentWorld,
        until fits: (Instance) -> Bool
    ) async throws -> Instance {
        for await instance in world.directory.changes(of: id) where fits(instance) { return instance }
        throw ConformanceFailure("the instance is gone")
    }

    @Test(arguments: [(RestartPolicy.Mode.always, 0, true), (.onFailure, 0, false), (.onFailure, 1, true)])
    func aProgramsEndIsFollowedByAStart(_ mode: RestartPolicy.Mode, _ code: Int, _ restarts: Bool) async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(Self.policy(mode), in: world)
            world.host.exitProgram(of: instance.id, GuestExit(code: code))
            guard restarts else {
                let stopped = try await world.wait(instance.id, for: .stopped)
                #expect(stopped.desired == .stopped && stopped.nextRestart == nil)
                return
            }
            let ended = try await Self.wait(instance.id, in: world) { $0.state == .stopped }
            #expect(ended.nextRestart != nil && ended.desired == .running && ended.exit?.code == code)
            let again = try await Self.wait(instance.id, in: world) { $0.state == .running && $0.boots == 2 }
            #expect(again.restarts == 1 && again.nextRestart == nil && again.exit == nil)
        }
    }

    @Test func aVMMThatIsKilledIsReplaced() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(Self.policy(.onFailure), in: world)
            world.host.killVMM(of: instance.id)
            let again = try await Self.wait(instance.id, in: world) { $0.state == .running && $0.boots == 2 }
            #expect(again.machine?.process != instance.machine?.process)
        }
    }

    @Test func theAttemptsAreCountedAndLimited() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(Self.policy(.always, attempts: 2), in: world)
            for boot in 1...3 {
                _ = try await Self.wait(instance.id, in: world) { $0.state == .running && $0.boots == boot }
                world.host.exitProgram(of: instance.id, GuestExit(code: 1))
            }
            let stopped = try await Self.wait(instance.id, in: world) { $0.state == .stopped && $0.boots == 3 }
            #expect(stopped.nextRestart == nil && stopped.desired == .stopped && stopped.restarts == 2)
            let again = try await world.instances.start("job")
            #expect(again.restarts == 0, "whoever starts it begins a new row")
        }
    }

    @Test func whatWasStoppedStaysStopped() async throws {
        try await AgentWorld.with { world in
            let instance = try await Self.make(Self.policy(.always), in: world)
            let stopped = try await world.instances.stop("job")
            #expect(stopped.nextRestart == nil && stopped.desired == .stopped)
            _ = try await world.instances.start("job")
            _ = try await world.wait(instance.id, for: .running)
            world.host.exitProgram(of: instance.id, GuestExit(code: 1))
            _ = try await Self.wait(instance.id, in: world) { $0.nextRestart != nil }
            let calledOff = try await world.instances.stop("job")
            #expect(calledOff.state == .stopped && calledOff.nextRestart == nil && calledOff.desired == .stopped)
            try await Task.sleep(for: .milliseconds(250))
            #expect(try world.instances.get("job").boots == 2)
        }
    }

    @Test func aPolicyThatIsTakenAwayCallsTheRestartOff() async throws {
        try await AgentWorld.with { world in
            var policy = Self.policy(.always)
            policy.backoff = .seconds(3600)
            let instance = try await Self.make(policy, in: world)
            world.host.exitProgram(of: instance.id, GuestExit(code: 1))
            _ = try await Self.wait(instance.id, in: world) { $0.nextRestart != nil }
            let request = UpdateInstanceRequest(restartPolicy: RestartPolicy(mode: .never))
            let after = try await world.instances.update("job", request)
            #expect(after.nextRestart == nil && after.desired == .stopped)
        }
    }

    @Test func theRestartOutlivesTheAgentAndTheHost() async throws {
        try await AgentWorld.with { world in
            var policy = Self.policy(.always)
            policy.backoff = .milliseconds(300)
            let instance = try await Self.make(policy, in: world)
            world.host.exitProgram(of: instance.id, GuestExit(code: 1))
            _ = try await Self.wait(instance.id, in: world) { $0.nextRestart != nil }
            try await world.restart()
            _ = try await Self.wait(instance.id, in: world) { $0.state == .running && $0.boots == 2 }
            try await world.restart(rebootingHost: true)
            _ = try await Self.wait(instance.id, in: world) { $0.state == .running && $0.boots == 3 }
        }
    }

    @Test func thePauseDoublesUpToALimit() {
        let policy = RestartPolicy(mode: .always, backoff: .seconds(5))
        let failure = InstanceExit(reason: .exited, code: 1)
        let pauses = (0..<9).map { policy.pause(after: failure, restarts: $0) }
        #expect(pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300].map { Duration.seconds($0) })
        #expect(policy.pause(after: failure, restarts: .max) == .seconds(300))
    }

    @Test func aLongRunBeginsANewRow() throws {
        var machine = InstanceStateMachine(Fixtures.instance("web"))
        let policy = RestartPolicy(mode: .always, backoff: .seconds(1), stableAfter: .seconds(60))
        try machine.apply(.policyChanged(policy), at: Fixtures.time)
        var now = Fixtures.time
        for (length, expected) in [(1.0, 1), (1, 2), (1, 3), (61, 1)] {
            try machine.apply(
                machine.instance.boots == 0 ? .startRequested(StartInstanceRequest()) : .restartRequested,
                at: now
            )
            let record = MachineRecord(
                hypervisor: .qemu,
                version: "1",
                accelerator: .tcg,
                process: ProcessIdentity(pid: 1, startTime: 1, bootID: "b"),
                runtimeDirectory: "/run",
                session: ""
            )
            try machine.apply(.machineStarted(record, Fixtures.machine, phases: [:]), at: now)
            try machine.apply(.programStarted(after: .zero), at: now)
            now += length
            try machine.apply(.machineExited(.code(1)), at: now)
            try machine.apply(.cleanedUp, at: now)
            let pause = try #require(machine.instance.nextRestart).timeIntervalSince(now)
            #expect(pause == Double(1 << (expected - 1)))
            now += pause
        }
    }

    @Test(arguments: [
        RestartPolicy(mode: .always, backoff: .zero), RestartPolicy(mode: .always, backoff: .seconds(100_000)),
        RestartPolicy(mode: .onFailure, maximumAttempts: 0), RestartPolicy(mode: .always, stableAfter: .seconds(-1)),
    ])
    func whatMakesNoSenseIsRefused(_ policy: RestartPolicy) async throws {
        try await AgentWorld.with { world in
            var request = try world.request("job")
            request.restartPolicy = policy
            let error = await #expect(throws: AgentError.self) { try await world.instances.create(request) }
            #expect(error?.code == "invalid_restart_policy")
            #expect(world.instances.list().isEmpty)
        }
    }
}
