import AgentTestSupport
import Foundation
import Testing

/// Processors and memory of a real VM that runs, through the command line.
@Suite(.serialized) struct ResizeTests {
    /// In KiB.
    private static func memory(_ agent: PrivateAgent) async throws -> Int {
        let line = try await agent.expect("exec", "box", "sh", "-c", "read -r _ total _ </proc/meminfo; echo $total")
        return try #require(Int(line), "/proc/meminfo begins with \(line)")
    }

    /// As the kernel writes them: those that run, by their numbers from 0.
    private static func processors(_ agent: PrivateAgent) async throws -> String {
        let file = "/sys/devices/system/cpu/online"
        return try await agent.expect("exec", "box", "sh", "-c", "read -r numbers <\(file); echo $numbers")
    }

    /// The guest takes what it is given a moment after its VMM has it.
    private static func settle(_ what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<100 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("\(what): not so")
    }

    @Test func aVMIsResizedWhileItRunsAndKeepsItsSize() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let room = ["--max-cpus", "2", "--hotplug-size", "512MB"]
            let size = ["--cpus", "1", "--memory", "256MB"]
            try await agent.expect(["run", "-d", "--name", "box"] + size + room + ["busybox:1", "sleep", "1000"])
            #expect(try await Self.processors(agent) == "0")
            let before = try await Self.memory(agent)
            try await agent.expect("update", "--cpus", "2", "--memory", "768MB", "box")
            try await Self.settle("two processors") { try await Self.processors(agent) == "0-1" }
            try await Self.settle("512 MB more") { try await Self.memory(agent) - before > 500 << 10 }
            #expect(try await agent.refusal("update", "--memory", "1GB", "box").contains("768.0 MB"))
            #expect(try await agent.expect("inspect", "box").contains("768.0 MB"))

            await agent.stop(SIGKILL)
            try await agent.start()
            try await agent.expect("standby", "box")
            try await agent.expect("restore", "box")
            #expect(try await Self.processors(agent) == "0-1")
            #expect(try await Self.memory(agent) - before > 500 << 10)
            try await agent.expect("update", "--memory", "256MB", "box")
            try await Self.settle("512 MB less") { try await Self.memory(agent) - before < 16 << 10 }

            let fewer = try await agent.hypeman("update", "--cpus", "1", "box")
            if fewer.code == 0 {
                #expect(try await Self.processors(agent) == "0")
            } else {
                #expect(fewer.errors.contains("software emulation"), "\(fewer)")
                #expect(try await Self.processors(agent) == "0-1")
            }

            try await agent.expect("stop", "box")
            try await agent.expect("update", "--cpus", "1", "box")
            try await agent.expect("start", "box")
            #expect(try await Self.processors(agent) == "0")
            let stats = try await agent.expect("stats", "--format", "json", "box")
            #expect(stats.contains("disk_read_bytes"), "\(stats)")
            try await agent.expect("stop", "box")
        }
    }
}
