import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Memory that stands still, goes to disk and comes back, in real VMs and through the command line.
@Suite(.serialized) struct LifecycleTests {
    /// Counts in its memory alone, and says each number.
    private static let counter = "n=0; while sleep 0.1; do n=$((n+1)); echo $n; done"

    private static func last(_ agent: PrivateAgent) async throws -> Int {
        try #require(Int(try await agent.expect("logs", "-n", "1", "box")))
    }

    private static func run(_ agent: PrivateAgent) async throws -> String {
        try await agent.expect("run", "-d", "--name", "box", "--memory", "128MB", "busybox:1", "sh", "-c", counter)
    }

    private static func snapshots(_ agent: PrivateAgent) throws -> [String] {
        try agent.leftFiles().filter { $0.hasPrefix("snapshots/") }
    }

    @Test func memoryOutlivesTheVMMAndTheAgent() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await Self.run(agent)
            // A process and an open file beside the program's memory.
            let hold = "exec 3>/tmp/held; while sleep 0.1; do echo x >&3; done"
            let holder = try await agent.expect("exec", "box", "sh", "-c", "(\(hold)) >/dev/null 2>&1 & echo $!")
            let boot = try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id")
            try await agent.expect("exec", "box", "sleep", "1")
            let before = try await Self.last(agent)

            try await agent.expect("standby", "box")
            #expect(try await agent.expect("ps").contains("Standby"))
            #expect(try await tool("sh", ["-c", "pgrep -fc \"$1\" || true", "sh", "name hypeman-\(id)"]) == "1\n")
            let files = try Self.snapshots(agent)
            #expect(files.map { FilePath($0).lastComponent?.string } == ["manifest.json", "memory"])
            #expect(try await agent.refusal("exec", "box", "true").contains("Standby"))
            let saved = try await Self.last(agent)
            await agent.stop(SIGKILL)
            try await Task.sleep(for: .seconds(3))
            try await agent.start()

            try await agent.expect("restore", "box")
            let now = "echo > /tmp/now; stat -c %Y /tmp/now"
            let time = try #require(Double(try await agent.expect("exec", "box", "sh", "-c", now)))
            #expect(abs(Date().timeIntervalSince1970 - time) < 3, "the second, and what an emulated exec takes")
            #expect(try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id") == boot)
            try await agent.expect("exec", "box", "sh", "-c", "kill -0 \(holder)")
            #expect(try await agent.expect("exec", "box", "ls", "-l", "/proc/\(holder)/fd/3").hasSuffix("/tmp/held"))
            try await agent.expect("exec", "box", "sleep", "1")
            let after = try await Self.last(agent)
            #expect(before > 0 && saved >= before && after > saved)
            let numbers = try await agent.expect("logs", "box").split(separator: "\n").compactMap { Int($0) }
            #expect(numbers == Array(1...numbers.count), "no line is lost or doubled")
            #expect(try Self.snapshots(agent) == [], "what was taken up is gone")
            try await agent.expect("stop", "box")
        }
    }

    @Test func whatIsDamagedIsRefusedWithTheReasonAndCanBeGivenUp() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            _ = try await Self.run(agent)
            #expect(try await agent.refusal("restore", "box").contains("only a Standby one"))
            #expect(try await agent.refusal("resume", "nope").contains("nope"))
            try await agent.expect("exec", "box", "true")
            try await agent.expect("pause", "box")
            #expect(try await agent.expect("ps").contains("Paused"))
            #expect(try await agent.refusal("exec", "box", "true").contains("Paused"))
            try await agent.expect("resume", "box")
            try await agent.expect("exec", "box", "true")

            try await agent.expect("standby", "box")
            let files = try Self.snapshots(agent)
            let memory = try #require(files.first { $0.hasSuffix("/memory") })
            let path = agent.data.pushing(FilePath(memory)).string
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            let middle = try file.seekToEnd() / 2
            try file.seek(toOffset: middle)
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: middle)
            try file.write(contentsOf: Data([~byte]))
            #expect(try await agent.refusal("restore", "box").contains("checksum"))
            try file.seek(toOffset: middle)
            try file.write(contentsOf: Data([byte]))
            try file.truncate(atOffset: middle)
            #expect(try await agent.refusal("restore", "box").contains("bytes instead of"))
            try file.close()
            #expect(try Self.snapshots(agent) == files, "it is untouched")
            #expect(try await agent.expect("ps").contains("Standby"))
            try await agent.expect("stop", "box")
            #expect(try Self.snapshots(agent) == [])
            try await agent.expect("start", "box")
            try await agent.expect("exec", "box", "true")
        }
    }

    @Test func aSnapshotBringsMemoryAndDiskBack() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            _ = try await Self.run(agent)
            try await agent.expect(
                "exec",
                "box",
                "sh",
                "-c",
                "echo first > /home/file; echo memory > /dev/shm/file"
            )
            let id = try await agent.expect("snapshot", "create", "--name", "first", "box")
            #expect(try await agent.expect("snapshot", "list", "-q", "box") == id)
            #expect(try await agent.refusal("snapshot", "restore", "box", "first").contains("Stopped or Standby"))
            try await agent.expect("exec", "box", "sh", "-c", "echo second > /home/file; rm /dev/shm/file")
            for _ in 0..<2 {
                try await agent.expect("stop", "box")
                try await agent.expect("snapshot", "restore", "box", "first")
                #expect(try await agent.expect("exec", "box", "cat", "/home/file") == "first")
                #expect(try await agent.expect("exec", "box", "cat", "/dev/shm/file") == "memory")
                try await agent.expect("exec", "box", "sh", "-c", "echo third > /home/file")
            }
            let before = try await Self.last(agent)
            try await agent.expect("exec", "box", "sleep", "1")
            #expect(try await Self.last(agent) > before, "what it writes is in the log")
            try await agent.expect("snapshot", "delete", "first")
            #expect(try Self.snapshots(agent) == [])
            try await agent.expect("stop", "box")
            try await agent.expect("snapshot", "create", "--name", "disk", "box")
            try await agent.expect("start", "box")
            try await agent.expect("exec", "box", "sh", "-c", "echo fourth > /home/file")
            try await agent.expect("stop", "box")
            try await agent.expect("snapshot", "restore", "box", "disk")
            #expect(try await agent.expect("exec", "box", "cat", "/home/file") == "third")
            try await agent.expect("snapshot", "delete", "disk")
        }
    }

    @Test func aPolicyStartsItAgainAsOftenAsItSays() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await agent.expect(
                "run",
                "-d",
                "--name",
                "box",
                "--memory",
                "128MB",
                "--restart",
                "on-failure:1",
                "busybox:1",
                "sleep",
                "1000"
            )
            try await agent.inspect("box") { $0.contains("Running") }
            try await tool("pkill", ["-KILL", "-f", "name hypeman-\(id)"])
            try await agent.inspect("box") { $0.contains("next_restart_at") }
            try await agent.inspect("box") { $0.contains("Running") }
            try await tool("pkill", ["-KILL", "-f", "name hypeman-\(id)"])
            let ended = try await agent.inspect("box") { $0.contains("Stopped") }
            #expect(ended.contains("machineDied") && !ended.contains("next_restart_at"))
            try await agent.expect("update", "--restart", "always", "box")
            #expect(try await agent.expect("inspect", "box").contains(#""policy" : "always""#))
            try await agent.expect("start", "box")
            try await agent.expect("stop", "box")
            #expect(!(try await agent.expect("inspect", "box").contains("next_restart_at")), "stopped is stopped")
        }
    }
}
