import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Volumes in real VMs and through the command line.
@Suite(.serialized) struct VolumeTests {
    private static func run(_ agent: PrivateAgent, _ name: String, _ mounts: String...) async throws {
        try await agent.expect(
            ["run", "-d", "--name", name, "--memory", "128MB", "--volume-size", "1GB"] + mounts.flatMap { ["-v", $0] }
                + ["busybox:1", "sleep", "1000000"]
        )
        try await agent.expect("exec", name, "true")
    }

    @Test func dataOutlivesInstancesAndIsReadByMany() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            try await Self.run(agent, "writer", "data:/var/lib/data")
            #expect(try await agent.expect("volume", "ls").contains("writer:/var/lib/data"))
            #expect(try await agent.expect("exec", "writer", "ls", "-A", "/var/lib/data") == "")
            try await agent.expect("exec", "writer", "sh", "-c", "echo hello > /var/lib/data/greeting")
            #expect(try await agent.refusal("volume", "rm", "data").contains("attached to instance 'writer'"))
            #expect(try await agent.refusal("volume", "grow", "data", "2GB").contains("stop the instance"))
            #expect(try await agent.refusal("run", "-d", "-v", "data:/d", "busybox:1", "true").contains("read-write"))
            try await agent.expect("stop", "writer")
            try await agent.expect("volume", "grow", "data", "2GB")
            try await agent.expect("start", "writer")
            #expect(try await agent.expect("exec", "writer", "cat", "/var/lib/data/greeting") == "hello")
            let size = try await agent.expect("exec", "writer", "df", "-k", "/var/lib/data")
            let blocks = size.split(separator: "\n").last?.split(separator: " ")
            #expect(try #require(blocks.flatMap { Int($0[1]) }) > 1_900_000, "\(size)")
            try await agent.expect("rm", "-f", "writer")

            try await Self.run(agent, "first", "data:/data:ro")
            try await Self.run(agent, "second", "data:/data:overlay=64MB")
            for name in ["first", "second"] {
                #expect(try await agent.expect("exec", name, "cat", "/data/greeting") == "hello")
            }
            try await agent.expect("exec", "first", "sh", "-c", "! echo x > /data/x")
            try await agent.expect("exec", "second", "sh", "-c", "echo changed > /data/greeting")
            try await agent.expect("stop", "second")
            try await agent.expect("start", "second")
            #expect(try await agent.expect("exec", "second", "cat", "/data/greeting") == "changed")
            #expect(try await agent.expect("exec", "first", "cat", "/data/greeting") == "hello")
            try await agent.expect("rm", "-f", "first", "second")
            try await agent.expect("volume", "prune", "-f")
            #expect(try agent.leftFiles().filter { $0.hasPrefix("volumes/") } == [])
        }
    }

    @Test func aVolumeComesIntoARunningInstanceAndMovesToAnother() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            try await agent.expect("volume", "create", "--size", "1GB", "data")
            try await Self.run(agent, "first")
            try await agent.expect("volume", "attach", "first", "data:/data")
            #expect(try await agent.expect("exec", "first", "cat", "/proc/mounts").contains(" /data ext4 rw"))
            try await agent.expect("exec", "first", "sh", "-c", "echo hello > /data/greeting")
            let holder = try await agent.expect(
                "exec",
                "first",
                "sh",
                "-c",
                "(cd /data && exec sleep 1000000) >/dev/null 2>&1 & echo $!"
            )
            #expect(try await agent.refusal("volume", "detach", "first", "data").contains("process \(holder) (sleep)"))
            #expect(try await agent.expect("exec", "first", "cat", "/data/greeting") == "hello")
            try await agent.expect("exec", "first", "kill", holder)
            // Over a crash of the agent and a standby it stays where it is.
            await agent.stop(SIGKILL)
            try await agent.start()
            try await agent.expect("standby", "first")
            try await agent.expect("restore", "first")
            #expect(try await agent.expect("exec", "first", "cat", "/data/greeting") == "hello")
            try await agent.expect("volume", "detach", "first", "data")
            #expect(try await !agent.expect("exec", "first", "cat", "/proc/mounts").contains(" /data "))

            try await Self.run(agent, "second", "data:/mnt/data")
            #expect(try await agent.expect("exec", "second", "cat", "/mnt/data/greeting") == "hello")
            #expect(try await agent.refusal("volume", "detach", "second", "data").contains("once it is Stopped"))
            // A guest that is killed leaves its journal behind, and who only reads cannot replay it.
            try await agent.expect("exec", "second", "sh", "-c", "echo more > /mnt/data/more; sync")
            try await agent.expect("rm", "-f", "second")
            try await agent.expect("volume", "attach", "first", "data:/data:ro")
            #expect(try await agent.expect("exec", "first", "cat", "/data/more") == "more")
            // What was plugged in is there from the next start on.
            try await agent.expect("stop", "first")
            try await agent.expect("start", "first")
            #expect(try await agent.expect("exec", "first", "cat", "/data/greeting") == "hello")
        }
    }

    @Test func anArchiveBecomesAVolumeAndABrokenOneNothing() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            var tar = TarBuilder()
            tar.file("owned", Array("hello".utf8), mode: 0o640, owner: 999)
            let path = agent.scratch.appending("seed.tar")
            try Data(tar.finished()).write(to: URL(filePath: path.string))
            try await agent.expect("volume", "create", "--size", "1GB", "--from", path.string, "seed")
            try Data(tar.finished().prefix(700)).write(to: URL(filePath: path.string))
            let refused = try await agent.refusal("volume", "create", "--size", "1GB", "--from", path.string, "broken")
            #expect(refused.contains("cut off"))
            #expect(try await agent.expect("volume", "ls", "-q") == "seed")
            #expect(try agent.leftFiles().filter { $0.hasPrefix("volumes/") }.count == 1)
            try await Self.run(agent, "box", "seed:/seed:ro")
            #expect(try await agent.expect("exec", "box", "stat", "-c", "%a %u %s", "/seed/owned") == "640 999 5")
        }
    }
}
