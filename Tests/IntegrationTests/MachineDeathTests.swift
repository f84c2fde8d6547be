import AgentAPI
import AgentTestSupport
import Foundation
import Glibc
import SystemPackage
import Testing

/// Real VMMs that are killed at the worst moments of their lives.
@Suite(.serialized) struct MachineDeathTests {
    /// From the VMM's end to that of its instance, at most.
    private static let noticedWithin: TimeInterval = 1

    // MARK: Killing

    /// The VMM of an instance, nil while there is none.
    private static func process(of id: String) throws -> pid_t? {
        let mark = Data("-name\0hypeman-\(id)\0".utf8)
        return try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }.first { pid in
            // One that has ended meanwhile has none.
            (try? Data(contentsOf: URL(filePath: "/proc/\(pid)/cmdline")))?.range(of: mark) != nil
        }
    }

    /// Kills the VMM of an instance as soon as it is there and fit to be killed.
    ///
    /// - Returns: When.
    @discardableResult
    private static func kill(_ id: String, when isFit: (pid_t) throws -> Bool = { _ in true }) async throws -> Date {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let pid = try process(of: id), try isFit(pid) {
                #expect(Glibc.kill(pid, SIGKILL) == 0)
                return Date()
            }
            await Task.yield()
        }
        throw ToolFailure(description: "the moment to kill the VMM of \(id) did not come")
    }

    /// Whether a process has a file open whose path contains something.
    private static func has(_ pid: pid_t, open part: String) throws -> Bool {
        // One of them may be closed while this looks.
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []
        return files.contains { file in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\(file)"))?.contains(part)
                == true
        }
    }

    /// Waits for a command that was begun beside the test.
    private static func end(of command: Process) async {
        while command.isRunning { await Task.yield() }
    }

    // MARK: What must be true

    private static func look(_ agent: PrivateAgent, until fits: (InstanceResponse) -> Bool) async throws
        -> InstanceResponse
    {
        var last: InstanceResponse?
        _ = try await agent.inspect("box") { said in
            last = (try? APIJSON.decode([InstanceResponse].self, from: Data(said.utf8)))?.first
            return last.map(fits) ?? false
        }
        return try #require(last)
    }

    /// Sees that an instance is Stopped because of its VMM, and was so soon enough.
    private static func expectStopped(_ agent: PrivateAgent, _ killed: Date, _ moment: String) async throws {
        let seen = try await look(agent) { $0.state == "Stopped" }
        #expect(seen.exitReason == "machineDied" && seen.stateError?.contains("signal 9") == true, "\(moment): \(seen)")
        let stopped = try #require(seen.stoppedAt, "\(moment)")
        #expect(stopped.timeIntervalSince(killed) <= noticedWithin, "\(moment): \(stopped), killed at \(killed)")
    }

    // MARK: The moments

    @Test func anInstanceIsStoppedWithTheReasonWhereverItsVMMDies() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await agent.expect(
                ["run", "-d", "--name", "box", "--memory", "128MB", "busybox:1", "sleep", "1000000"]
            )
            try await Self.expectStopped(agent, try await Self.kill(id), "while it boots")

            try await agent.expect("start", "box")
            try await agent.inspect("box") { $0.contains("Running") }
            try await Self.expectStopped(agent, try await Self.kill(id), "while it runs")

            try await agent.expect("volume", "create", "--size", "1GB", "data")
            try await agent.expect("start", "box")
            try await agent.expect("exec", "box", "true")
            let attach = try agent.begin("volume", "attach", "box", "data:/data")
            let killed = try await Self.kill(id) { try Self.has($0, open: "/volumes/") }
            try await Self.expectStopped(agent, killed, "while a volume is plugged in")
            await Self.end(of: attach)
            #expect(attach.terminationStatus != 0)
            #expect(try await agent.expect("volume", "ls").contains("data"))
            try await agent.expect("volume", "rm", "data")

            try await agent.expect("start", "box")
            try await agent.expect("exec", "box", "true")
            try await agent.expect("rm", "-f", "box")
            #expect(try await agent.expect("ps", "-a", "-q") == "")
            #expect(try agent.leftFiles().filter { $0.hasPrefix("instances/") } == [])
        }
    }

    @Test func memoryThatWasNotSavedIsLostAndOneThatWasIsNot() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await agent.expect(
                ["run", "-d", "--name", "box", "--memory", "128MB", "busybox:1", "sleep", "1000000"]
            )
            try await agent.expect("exec", "box", "true")
            let standby = try agent.begin("standby", "box")
            let killed = try await Self.kill(id) { _ in
                try agent.leftFiles().contains { $0.hasPrefix("snapshots/") && $0.hasSuffix("/memory") }
            }
            try await Self.expectStopped(agent, killed, "while its memory is saved")
            await Self.end(of: standby)
            #expect(standby.terminationStatus != 0)
            #expect(try agent.leftFiles().filter { $0.hasPrefix("snapshots/") } == [])

            try await agent.expect("start", "box")
            let boot = try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id")
            try await agent.expect("standby", "box")
            // Before it is connected to, and while it reads.
            for moment: @Sendable (pid_t) throws -> Bool in [{ _ in true }, { try Self.has($0, open: "/memory") }] {
                let restore = try agent.begin("restore", "box")
                try await Self.kill(id, when: moment)
                await Self.end(of: restore)
                #expect(restore.terminationStatus != 0)
                let seen = try await Self.look(agent) { $0.state == "Standby" }
                #expect(seen.stateError?.contains("signal 9") == true, "\(seen)")
                #expect(try Self.process(of: id) == nil)
            }
            try await agent.expect("restore", "box")
            #expect(try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id") == boot)
            try await agent.expect("stop", "box")
            try await agent.expect("rm", "box")
        }
    }

    @Test func oneWithAPolicyIsStartedAgain() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await agent.expect(
                [
                    "run", "-d", "--name", "box", "--memory", "128MB", "--restart", "always", "busybox:1", "sleep",
                    "1000000",
                ]
            )
            let killed = try await Self.kill(id)
            try await Self.expectStopped(agent, killed, "with a policy")
            let seen = try await Self.look(agent) { $0.nextRestartAt != nil || $0.state != "Stopped" }
            #expect(seen.nextRestartAt.map { $0.timeIntervalSince(killed) < 7 } ?? true, "the first pause is 5 s")
            try await agent.inspect("box") { $0.contains("Running") }
            try await agent.expect("exec", "box", "true")
        }
    }
}
