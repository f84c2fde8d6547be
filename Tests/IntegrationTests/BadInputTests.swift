import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// What a user types wrong, and what a hostile or broken image brings: a clear error, and nothing left over.
@Suite(.serialized) struct BadInputTests {
    @Test func wrongNamesAndSizesAreNamedAndChangeNothing() async throws {
        try await PrivateAgent.with { agent async throws in
            let tar = agent.scratch.appending("busybox.tar")
            try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
            try await agent.expect("import", tar.string, "busybox:1")
            let before = try agent.leftFiles()
            #expect(try await agent.refusal("run", "-d", "--name", "No Name", "busybox:1", "true").contains("No Name"))
            #expect(try await agent.refusal("run", "-d", "--memory", "lots", "busybox:1", "true").contains("lots"))
            #expect(try await agent.refusal("run", "-d", "--memory", "1MB", "busybox:1", "true").contains("128"))
            #expect(try await agent.refusal("run", "-d", "--memory", "1Mb", "busybox:1", "true").contains("1Mb"))
            #expect(try await agent.refusal("run", "-d", "--cpus", "0", "busybox:1", "true").contains("0"))
            #expect(
                try await agent.refusal("run", "-d", "--overlay-size", "200GB", "busybox:1", "true").contains(
                    "MAX_OVERLAY_SIZE"
                )
            )
            #expect(try await agent.refusal("run", "-d", "busybox:1").contains("command"))
            #expect(try await agent.refusal("logs", "nobody").contains("nobody"))
            #expect(try await agent.refusal("exec", "nobody", "true").contains("nobody"))
            #expect(try await agent.refusal("stop", "nobody").contains("nobody"))
            #expect(try await agent.refusal("rm", "nobody").contains("nobody"))
            #expect(try await agent.refusal("rmi", "nobody").contains("nobody"))
            #expect(try await agent.refusal("import", tar.string, "Bad Name").contains("Bad Name"))
            #expect(try await agent.refusal("import", "/no/such/file", "x:1").contains("/no/such/file"))
            #expect(try agent.leftFiles() == before)
            #expect(try await agent.expect("ps", "-a", "-q") == "")
        }
    }

    @Test func brokenArchivesAreRefusedAndLeaveNothing() async throws {
        try await PrivateAgent.with { agent async throws in
            let scratch = agent.scratch
            let tree = try await TestImages.busyboxTree(in: scratch)
            let tar = scratch.appending("whole.tar")
            try await TestImages.tar(tree, to: tar)
            let whole = try Data(contentsOf: URL(fileURLWithPath: tar.string))
            var outside = TarBuilder()
            outside.file("../../etc/escape", Array("x".utf8))
            let layout = try await TestImages.layered(in: scratch)
            let blobs = layout.pushing(FilePath("blobs/sha256"))
            let largest = try #require(
                try FileManager.default.contentsOfDirectory(atPath: blobs.string).max { a, b in
                    let sizes = try? [a, b].map {
                        try FileManager.default.attributesOfItem(atPath: blobs.pushing(FilePath($0)).string)[.size]
                            as? Int ?? 0
                    }
                    return (sizes?.first ?? 0) < (sizes?.last ?? 0)
                }
            )
            var damaged = try Data(contentsOf: URL(fileURLWithPath: blobs.pushing(FilePath(largest)).string))
            damaged[damaged.count / 2] ^= 0x55
            try damaged.write(to: URL(fileURLWithPath: blobs.pushing(FilePath(largest)).string))
            for (name, contents) in [
                ("truncated", [UInt8](whole.prefix(whole.count / 2 + 100))), ("outside", outside.finished()),
                ("garbage", (0..<1 << 20).map { _ in UInt8.random(in: 0...255) }), ("empty", []),
            ] {
                let path = try scratch.write(contents, to: "\(name).tar")
                let said = try await agent.refusal("import", path.string, "\(name):1")
                #expect(said.count < 1_000, "\(said)")
            }
            #expect(try await agent.refusal("import", layout.string, "damaged:1").contains("sha256"))
            #expect(try agent.leftFiles() == [])
            #expect(try await agent.expect("images", "-q") == "")
        }
    }

    @Test func aRegistryWithoutTheImageIsToldApartFromOneThatIsNotThere() async throws {
        try await Scratch.with { scratch in
            try await DockerRegistry.with(scratch) { registry async throws in
                try await PrivateAgent.with(["INSECURE_REGISTRIES": "\(registry.host),127.0.0.1:1"]) {
                    agent async throws in
                    #expect(try await agent.refusal("pull", "\(registry.host)/no/such:1").contains("no/such"))
                    #expect(try await agent.refusal("pull", "127.0.0.1:1/no/such:1").contains("127.0.0.1:1"))
                    #expect(try await agent.refusal("pull", "\(registry.host)/UPPER").contains("UPPER"))
                    #expect(try agent.leftFiles() == [])
                }
            }
        }
    }

    @Test func wrongConfigurationStopsTheStartWithItsNames() async throws {
        let error = await #expect(throws: ToolFailure.self) {
            try await PrivateAgent.with(["PORT": "many", "MAX_OVERLAY_SIZE": "big"]) { _ in }
        }
        #expect(error?.description.contains("PORT='many'") == true)
        #expect(error?.description.contains("MAX_OVERLAY_SIZE='big'") == true)
    }

    @Test func aCertificateThatCannotBeReadStopsTheStart() async throws {
        let error = await #expect(throws: ToolFailure.self) {
            try await PrivateAgent.with([
                "JWT_SECRET": "a secret of more than thirty-two bytes, for tests", "PORT": "1",
                "TLS_CERT": "/no/such.pem", "TLS_KEY": "/no/such.key",
            ]) { _ in }
        }
        #expect(error?.description.contains("TLS_CERT is /no/such.pem") == true, "\(String(describing: error))")
    }

    @Test func aSecondAgentOnTheSameStateIsRefused() async throws {
        try await PrivateAgent.with { agent async throws in
            let error = await #expect(throws: ToolFailure.self) {
                try await PrivateAgent.with(["DATA_DIR": agent.data.string]) { _ in }
            }
            #expect(error?.description.contains("another hypeman-agent uses") == true)
        }
    }
}
