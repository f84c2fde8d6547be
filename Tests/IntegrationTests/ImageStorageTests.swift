import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Save, load, df and prune, as a user types them.
@Suite(.serialized) struct ImageStorageTests {
    @Test func aSavedImageRunsTheSameWhereItIsLoaded() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            let saved = scratch.appending("saved.tar")
            try await PrivateAgent.with { agent async throws in
                try await agent.expect("import", layout.string, "app:1")
                try await agent.expect("save", "-o", saved.string, "app:1")
                #expect(try await agent.refusal("save", "-o", scratch.appending("x").string, "none:1").contains("none"))
                let files = try FileManager.default.contentsOfDirectory(atPath: scratch.path.string)
                #expect(!files.contains { $0.hasPrefix("x") || $0.hasSuffix(".part") }, "\(files)")
            }
            // There with a compressed disk, whose blocks the guest's kernel unpacks.
            try await PrivateAgent.with(["IMAGE_COMPRESSION": "lz4"]) { agent async throws in
                #expect(try await agent.expect("load", "-i", saved.string) == "Loaded image: docker.io/library/app:1")
                let disk = try #require(try agent.leftFiles().first { $0.hasSuffix(".erofs") })
                let dump = try await tool("dump.erofs", ["-S", agent.data.pushing(FilePath(disk)).string])
                #expect(dump.contains(/Filesystem compressed files: +[1-9]/), "\(dump)")
                try await agent.expect("run", "-d", "--name", "app", "--memory", "128MB", "app:1")
                try await agent.inspect("app") { $0.contains("\"state\" : \"Running\"") }
                #expect(
                    try await agent.expect("exec", "app", "stat", "-c", "%a %u:%g", "/srv/owned") == "640 1234:2345"
                )
                #expect(try await agent.expect("exec", "app", "stat", "-c", "%a", "/bin/setuid") == "4755")
                #expect(try await agent.expect("exec", "app", "ls", "/srv") == "old\nowned")
                let again = scratch.appending("again.tar")
                try await agent.expect("save", "-o", again.string, "app:1")
                try await tool("cmp", [saved.string, again.string])
            }
        }
    }

    @Test func pruneSparesWhatIsUsedAndTellsBefore() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let other = agent.scratch.appending("other.tar")
            var tar = TarBuilder()
            tar.file("data", [UInt8](repeating: 7, count: 2 << 20))
            try Data(tar.finished()).write(to: URL(fileURLWithPath: other.string))
            try await agent.expect("import", other.string, "other:1")
            try await agent.expect("run", "-d", "--name", "web", "--memory", "128MB", "busybox:1", "sleep", "1000")
            try await agent.expect("stop", "web")
            let usage = try await agent.expect("system", "df", "-v")
            #expect(usage.contains("RECLAIMABLE") && usage.contains("other:1") && usage.contains("web"), "\(usage)")
            #expect(try await agent.refusal("image", "prune", "-a").contains("--force"))
            let before = try agent.leftFiles()
            let dry = try await agent.expect("system", "prune", "-a", "--dry-run")
            #expect(dry.contains("would remove docker.io/library/other:1") && !dry.contains("busybox"), "\(dry)")
            #expect(try agent.leftFiles() == before)
            let done = try await agent.expect("image", "prune", "-a", "-f")
            #expect(done.contains("removed docker.io/library/other:1") && done.contains("MB"), "\(done)")
            #expect(try await agent.expect("image", "ls", "-q") == "docker.io/library/busybox:1")
            try await agent.expect("start", "web")
            try await agent.expect("rm", "-f", "web")
            try await agent.expect("image", "prune", "-a", "-f")
            #expect(try agent.leftFiles() == [])
        }
    }

    @Test func theLimitIsNamedAndNothingIsLeftOver() async throws {
        try await PrivateAgent.with(["MAX_IMAGE_STORAGE": "4MB"]) { agent async throws in
            let path = agent.scratch.appending("large.tar")
            var tar = TarBuilder()
            tar.file("data", (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 | 1) })
            try Data(tar.finished()).write(to: URL(fileURLWithPath: path.string))
            // It is received, but its disk does not fit beside it.
            #expect(try await agent.refusal("import", path.string, "large:1").contains("MAX_IMAGE_STORAGE"))
            #expect(try agent.leftFiles() == [])
            #expect(try await agent.expect("system", "df").contains("at most 4.2 MB"))
            try await agent.expect("image", "prune", "-f")
            #expect(try await agent.expect("images", "-q") == "")
        }
    }
}
