import Foundation
import GuestProtocol
import Logging

/// What a guest has missed when its machine goes on.
enum Standstill: Sendable {
    /// Some time has passed.
    case paused
    /// Its memory was taken up from disk: its random numbers are not its own any more.
    case restored
}

extension InstanceController {
    /// How long a VMM may take to report what it was told to do.
    private static let reportDeadline = Duration.seconds(5)
    /// How long a guest may take to hear the news.
    private static let wakeUpDeadline = Duration.seconds(10)
    /// Between attempts to let a machine go on that stood still for the agent's own sake.
    private static let resumePauses: [Duration] = [.milliseconds(50), .milliseconds(500)]
    /// Twice what the kernel's generator is seeded with (random(4)).
    private static let entropyLength = 64

    // MARK: Pause and resume

    /// Lets the vCPUs stand still.
    func pause() async throws {
        try await apply(.pauseRequested)
        guard let run, instance.state != .paused else { return }
        do {
            try await standStill(run.machine)
        } catch {
            await observe(.resumeRequested)
            throw error
        }
    }

    /// Lets the vCPUs run on.
    func resume() async throws {
        guard shortages == 0 else {
            throw AgentError(
                .invalidState,
                code: "host_disk_full",
                "instance '\(instance.name)' waits for room on the host's disk and goes on by itself; free some space"
            )
        }
        let former = instance.desired
        try await apply(.resumeRequested)
        guard let run, instance.state == .paused else { return }
        do {
            try await run.machine.resume()
        } catch {
            if former == .paused { await observe(.pauseRequested) }
            throw error
        }
        try await report(.running, else: .resumed)
        await noteStandstill(.paused)
    }

    /// Stops the vCPUs, and returns when that is seen.
    func standStill(_ machine: any VirtualMachine) async throws {
        try await machine.pause()
        try await report(.paused, else: .paused)
    }

    /// Does something that needs a machine to stand still, which goes on afterwards if it ran.
    func whileStandingStill<Value: Sendable>(
        _ machine: any VirtualMachine,
        _ body: () async throws -> Value
    ) async throws -> Value {
        let ran = instance.state == .running
        let result: Result<Value, any Error>
        do {
            if ran { try await standStill(machine) }
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        if ran { await goOn(machine) }
        return try result.get()
    }

    /// Lets a machine go on that stood still for the agent's own sake, also for a caller that was cancelled.
    func goOn(_ machine: any VirtualMachine) async {
        await Task {
            do {
                try await self.resumePatiently(machine)
                try await self.report(.running, else: .resumed)
                await self.noteStandstill(.paused)
            } catch {
                self.logger.error("machine not resumed", metadata: ["error": "\(error)"])
                await self.observe(.problem("the machine stands still and could not be resumed: \(error)"))
            }
        }.value
    }

    /// Nobody asked for it to stand still, so one answer that did not come is no reason to leave it so.
    private func resumePatiently(_ machine: any VirtualMachine) async throws {
        for pause in Self.resumePauses {
            do {
                return try await machine.resume()
            } catch let error as AgentError where error.kind == .invalidState {
                throw error
            } catch {
                logger.warning("machine not resumed at once", metadata: ["error": "\(error)"])
                try await context.time.clock.sleep(for: pause)
            }
        }
        try await machine.resume()
    }

    /// Waits for the VMM's own report, which comes in its order; one that never comes is taken for given.
    private func report(_ state: InstanceState, else transition: InstanceTransition) async throws {
        let seen = try await wait(within: Self.reportDeadline) { $0.state == state || $0.machine == nil }
        if seen == nil { await observe(transition) }
    }

    // MARK: The guest

    /// Tells the guest now, or as soon as there is a conversation with it.
    func noteStandstill(_ kind: Standstill) async {
        standstill = kind
        if let channel { await wake(channel) }
    }

    func news(of kind: Standstill) -> GuestWakeUp {
        var entropy: [UInt8] = []
        if kind == .restored {
            var generator = SystemRandomNumberGenerator()
            entropy = (0..<Self.entropyLength).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
        return GuestWakeUp(
            unixNanoseconds: Int(context.time.now().timeIntervalSince1970 * 1_000_000_000),
            entropy: entropy
        )
    }

    /// Tells the guest what it has missed, if anything.
    ///
    /// A guest that cannot be told runs on: it is wrong about the time only. One that stands still is told when it goes on.
    func wake(_ channel: any GuestChannel) async {
        guard let kind = standstill, instance.state != .paused else { return }
        let news = news(of: kind)
        do {
            try await withDeadline(
                Self.wakeUpDeadline,
                clock: context.time.clock,
                "telling the guest of instance '\(instance.name)' the time"
            ) { try await channel.wakeUp(news) }
            standstill = nil
        } catch let error as AgentError where error.kind == .notSupported {
            logger.warning("the guest's hypeman-init is too old to be told the time: its clock is behind")
            standstill = nil
        } catch {
            logger.warning("the guest was not told the time", metadata: ["error": "\(error)"])
        }
    }
}
