import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// A real agent whose data directory is on a file system of its own, which is full.
@Suite(.serialized) struct FullDiskTests {
    @Test func anImportIsRefusedAndNothingIsLeft() async throws {
        try await withSmallDisk(megabytes: 6) { agent async throws in
            let tree = try await TestImages.busyboxTree(in: agent.scratch)
            try await tool(
                "dd",
                ["if=/dev/urandom", "of=\(tree.pushing(FilePath("srv/large")))", "bs=1M", "count=16", "status=none"]
            )
            let tar = agent.scratch.appending("large.tar")
            try await TestImages.tar(tree, to: tar)
            #expect(try await agent.refusal("import", tar.string, "large:1").contains("full"))
            #expect(try await agent.expect("images", "-q") == "")
        }
    }

    /// The program's log and the guest's own writes find no room; a create finds none either.
    @Test func aRunningInstanceWaitsForRoomAndGoesOnWhereItWas() async throws {
        try await withSmallDisk(megabytes: 48) { agent async throws in
            let tar = agent.scratch.appending("busybox.tar")
            try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
            try await agent.expect("import", tar.string, "busybox:1")
            let line = String(repeating: "x", count: 200)
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "busy",
                "--memory",
                "128MB",
                "busybox:1",
                "sh",
                "-c",
                "n=0; while sleep 0.05; do n=$((n+1)); echo $n \(line); done"
            )
            let boot = try await agent.expect("exec", "busy", "cat", "/proc/sys/kernel/random/boot_id")
            let ballast = try fill(agent.data)
            let before = try agent.leftFiles()

            // More than is left: the machine stands still in the middle of it.
            try await agent.expect(
                "exec",
                "busy",
                "sh",
                "-c",
                "(dd if=/dev/zero of=/home/large bs=1M count=8 conv=fsync; echo done >/home/done) </dev/null >/dev/null 2>&1 &"
            )
            let waiting = try await agent.inspect("busy") { $0.contains("\"state\" : \"Paused\"") }
            #expect(waiting.contains("the host's disk is full"), "\(waiting)")
            #expect(try await agent.expect("ps").contains("busy"))
            #expect(try await agent.expect("images", "-q") != "")
            #expect(try await agent.refusal("run", "-d", "--name", "more", "busybox:1", "true").contains("is full"))
            #expect(try await agent.expect("ps", "-a", "-q").split(separator: "\n").count == 1)
            #expect(try agent.leftFiles() == before)

            // An agent that comes back meanwhile sees to it too.
            await agent.stop(SIGKILL)
            try await agent.start()

            try FileManager.default.removeItem(atPath: ballast.string)
            try await agent.inspect("busy") { $0.contains("\"state\" : \"Running\"") && !$0.contains("state_error") }
            try await agent.expect("exec", "busy", "sh", "-c", "while ! cat /home/done; do sleep 0.1; done 2>/dev/null")
            #expect(try await agent.expect("exec", "busy", "stat", "-c", "%s", "/home/large") == "\(8 << 20)")
            #expect(try await agent.expect("exec", "busy", "cat", "/proc/sys/kernel/random/boot_id") == boot)
            try await agent.expect("run", "-d", "--name", "more", "--memory", "128MB", "busybox:1", "sleep", "9")
            try await agent.expect("stop", "busy")
            let numbers = try await agent.expect("logs", "busy").split(separator: "\n").compactMap { line in
                line.split(separator: " ").first.flatMap { Int($0) }
            }
            #expect(numbers == Array(1...max(1, numbers.count)), "no line is lost or doubled")
        }
    }

    /// Runs `body` with an agent whose data directory is a file system of this size.
    private func withSmallDisk(megabytes: Int, _ body: (PrivateAgent) async throws -> Void) async throws {
        try await Scratch.with { scratch in
            let small = scratch.appending("small").string
            try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: true)
            try await tool("mount", ["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", small])
            do {
                try await PrivateAgent.with(["DATA_DIR": small]) { try await body($0) }
            } catch {
                try await tool("umount", ["--lazy", small])
                throw error
            }
            try await tool("umount", ["--lazy", small])
        }
    }

    /// Writes a file until there is no room for a byte more.
    private func fill(_ directory: FilePath) throws -> FilePath {
        let path = directory.appending("ballast")
        let file = try FileDescriptor.open(path, .writeOnly, options: .create, permissions: .ownerReadWrite)
        let block = [UInt8](repeating: 0, count: 4096)
        try file.closeAfter {
            do {
                while true { _ = try file.writeAll(block) }
            } catch Errno.noSpace {}
        }
        return path
    }
}
