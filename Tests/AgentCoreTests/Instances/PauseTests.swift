import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Testing

@Suite struct PauseTests {
    @Test func aPausedInstanceStandsStillUntilItIsResumed() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.awaitChannel(instance)
            let paused = try await world.instances.pause("web")
            #expect(paused.state == .paused && paused.desired == .paused)
            #expect(world.host.isPaused(instance.id))
            #expect(try await world.instances.pause("web").revision == paused.revision, "twice is once")
            try await world.restart()
            #expect(
                try await world.wait(instance.id, for: .paused).desired == .paused,
                "the agent's end changes nothing"
            )
            #expect(world.host.isPaused(instance.id))
            let running = try await world.instances.resume("web")
            #expect(running.state == .running && !world.host.isPaused(instance.id))
            #expect(try await world.instances.resume("web").state == .running)
        }
    }

    @Test func theGuestIsToldTheTimeAfterAPauseAndNothingElse() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.awaitChannel(instance)
            _ = try await world.instances.pause("web")
            _ = try await world.instances.resume("web")
            let news = try #require(world.host.wakeUps(of: instance.id).last)
            #expect(news.entropy.isEmpty)
            let seconds = Double(news.unixNanoseconds) / 1e9
            #expect(abs(world.time.now().timeIntervalSince1970 - seconds) < 60)
        }
    }

    @Test func aPausedProgramCanBeStopped() async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            try await world.awaitChannel(instance)
            _ = try await world.instances.pause("web")
            let stopped = try await world.instances.stop("web")
            #expect(stopped.state == .stopped && stopped.exit?.reason == .stopped)
        }
    }

    // MARK: Every state, every operation

    enum Operation: CaseIterable { case start, stop, pause, resume, standby, restore, update, delete }

    /// Which state follows; nil where the operation is refused.
    private static func follower(of state: InstanceState, _ operation: Operation) -> InstanceState? {
        switch (operation, state) {
        case (.start, .stopped): .initializing
        case (.stop, _): .stopped
        case (.pause, .running), (.pause, .paused): .paused
        case (.resume, .running), (.resume, .paused), (.restore, .standby): .running
        case (.standby, .running), (.standby, .paused), (.standby, .standby): .standby
        case (.update, _): state
        default: nil
        }
    }

    private static func perform(_ operation: Operation, in world: AgentWorld) async throws {
        let short = StopInstanceRequest(signalDeadline: .milliseconds(20), powerButtonDeadline: .milliseconds(20))
        let policy = RestartPolicy(mode: .always)
        switch operation {
        case .start: _ = try await world.instances.start("web")
        case .stop: _ = try await world.instances.stop("web", short)
        case .pause: _ = try await world.instances.pause("web")
        case .resume: _ = try await world.instances.resume("web")
        case .standby: _ = try await world.instances.standby("web")
        case .restore: _ = try await world.instances.restore("web")
        case .update: _ = try await world.instances.update("web", UpdateInstanceRequest(restartPolicy: policy))
        case .delete: try await world.instances.delete("web")
        }
    }

    @Test(arguments: [InstanceState.initializing, .running, .paused, .standby, .stopped], Operation.allCases)
    func everyOperationInEveryState(_ state: InstanceState, _ operation: Operation) async throws {
        var behaviour = GuestBehaviour()
        behaviour.answers = state != .initializing
        try await AgentWorld.with(behaviour: behaviour) { world in
            _ = try await world.make("web", in: state == .initializing ? .initializing : .running)
            switch state {
            case .paused: _ = try await world.instances.pause("web")
            case .standby: _ = try await world.instances.standby("web")
            case .stopped: _ = try await world.instances.stop("web")
            default: break
            }
            let expected = Self.follower(of: state, operation)
            do {
                try await Self.perform(operation, in: world)
                if operation != .delete {
                    let after = try world.instances.get("web").state
                    #expect(after == expected || (operation == .start && after == .running), "\(after)")
                    try await world.instances.delete("web")
                }
            } catch let error as AgentError {
                #expect(expected == nil, "\(error)")
                #expect(error.kind == .invalidState)
                #expect(error.message.contains(state.rawValue), "\(error)")
                #expect(try world.instances.get("web").state == state)
                try await world.instances.delete("web")
            }
            #expect(world.instances.list().isEmpty && world.host.running.isEmpty && world.snapshots.all.isEmpty)
        }
    }
}
