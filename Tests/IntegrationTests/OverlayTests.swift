import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// What an instance writes, and what that costs the host.
@Suite(.serialized) struct OverlayTests {
    /// Megabytes that the host has for a file.
    private static func allocated(_ path: FilePath) async throws -> Int {
        let blocks = try await tool("stat", ["-c", "%b", path.string]).trimmingCharacters(in: .newlines)
        return try #require(Int(blocks)) / 2048
    }

    @Test func roomThatTheGuestFreesComesBackToTheHost() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let id = try await agent.expect(
                "run",
                "-d",
                "--name",
                "box",
                "--memory",
                "128MB",
                "busybox:1",
                "sleep",
                "1000"
            )
            let overlay = agent.data.pushing(FilePath("instances/\(id)/overlay.ext4"))
            func write(_ name: String) async throws {
                let command = "dd if=/dev/urandom of=/home/\(name) bs=1M count=48 && busybox sync"
                try await agent.expect("exec", "box", "sh", "-c", command)
            }
            try await write("kept")
            let before = try await Self.allocated(overlay)
            #expect(before >= 48)
            try await write("large")
            #expect(try await Self.allocated(overlay) >= before + 48)
            // ext4 gives blocks back when the transaction that freed them is written.
            try await agent.expect("exec", "box", "sh", "-c", "rm /home/large && busybox sync")
            let deadline = ContinuousClock.now + .seconds(60)
            while try await Self.allocated(overlay) > before + 8, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(try await Self.allocated(overlay) <= before + 8)
            #expect(try await agent.expect("exec", "box", "stat", "-c", "%s", "/home/kept") == "\(48 << 20)")
        }
    }
}
