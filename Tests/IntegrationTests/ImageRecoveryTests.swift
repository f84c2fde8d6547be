import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// The agent is killed (SIGKILL) in each phase of a pull and an import, and started again.
@Suite(.serialized) struct ImageRecoveryTests {
    @Test func killedWhilePullingAndPendingBothGoOn() async throws {
        try await Scratch.with { scratch in
            let layout = try await Self.layout(in: scratch, megabytes: 12, files: 3)
            try await DockerRegistry.with(scratch) { registry async throws in
                try await registry.push(layout, as: "one:1")
                let other = try await Self.layout(in: scratch, name: "other", megabytes: 1, files: 2)
                try await registry.push(other, as: "two:1")
                let relay = try StallingRelay(to: registry.port, stallingAfter: 4 << 20)
                defer { relay.stop() }
                let (one, two) = ("\(relay.host)/one:1", "\(registry.host)/two:1")
                let hosts = "\(relay.host),\(registry.host)"
                try await PrivateAgent.with(["INSECURE_REGISTRIES": hosts]) { agent async throws in
                    // The second waits for the first, which has the only place.
                    var pulls = [try agent.begin("pull", one)]
                    try await Self.wait("the pull stalls") { relay.isStalled }
                    pulls.append(try agent.begin("pull", two))
                    try await Self.wait("both are known") {
                        let said = try await agent.expect("images")
                        return said.contains("pulling") && said.contains("pending")
                    }
                    await agent.stop(SIGKILL)
                    for pull in pulls { pull.terminate() }
                    relay.release()
                    try await agent.start()
                    // Asking again waits for what goes on by itself.
                    try await agent.expect("pull", one)
                    try await agent.expect("pull", two)
                    try await checkClean(agent, names: [one, two])
                }
            }
        }
    }

    @Test func killedWhileConvertingAPullGoesOn() async throws {
        try await Scratch.with { scratch in
            let layout = try await Self.layout(in: scratch, megabytes: 1, files: 20_000)
            try await DockerRegistry.with(scratch) { registry async throws in
                try await registry.push(layout, as: "many:1")
                let name = "\(registry.host)/many:1"
                try await PrivateAgent.with(["INSECURE_REGISTRIES": registry.host]) { agent async throws in
                    let pull = try agent.begin("pull", name)
                    try await Self.waitForIncoming("disk-", of: agent)
                    await agent.stop(SIGKILL)
                    pull.terminate()
                    #expect(try Self.incoming(agent).contains { $0.hasPrefix("disk-") }, "it was half way")
                    try await agent.start()
                    try await agent.expect("pull", name)
                    try await checkClean(agent, names: [name])
                }
            }
        }
    }

    @Test func killedWhileConvertingAnImportHasFailedAndSaysWhatToDo() async throws {
        try await PrivateAgent.with { agent async throws in
            let tar = agent.scratch.appending("many.tar")
            try await TestImages.tar(try await Self.tree(in: agent.scratch, megabytes: 1, files: 20_000), to: tar)
            let imported = try agent.begin("import", tar.string, "many:1")
            try await Self.waitForIncoming("disk-", of: agent)
            await agent.stop(SIGKILL)
            imported.terminate()
            #expect(try Self.incoming(agent).contains { $0.hasPrefix("disk-") }, "it was half way")
            try await agent.start()
            #expect(try await agent.expect("images").contains("failed"))
            #expect(try await agent.expect("images", "--format", "json").contains("import it again"))
            #expect(try agent.leftFiles() == [], "an import that failed takes no room")
            try await agent.expect("import", tar.string, "many:1")
            try await checkClean(agent, names: ["many:1"])
        }
    }

    @Test func killedWhileReceivingAnImportLeavesNothing() async throws {
        try await PrivateAgent.with { agent async throws in
            let input = Pipe()
            let imported = try agent.begin("import", "-", "never:1", input: input)
            try input.fileHandleForWriting.write(contentsOf: Data(count: 4 << 20))
            try await Self.waitForIncoming("archive-", of: agent)
            await agent.stop(SIGKILL)
            imported.terminate()
            try await agent.start()
            #expect(try agent.leftFiles() == [])
            #expect(try await agent.expect("images", "-q") == "")
        }
    }

    @Test func killedAfterwardsAllIsAsItWas() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let before = try agent.leftFiles()
            await agent.stop(SIGKILL)
            try await agent.start()
            #expect(try agent.leftFiles() == before)
            try await checkClean(agent, names: ["busybox:1"])
        }
    }

    // MARK: Claims

    /// All are ready and whole, their disks are those of an agent that was never killed, and nothing else is there.
    private func checkClean(_ agent: PrivateAgent, names: [String]) async throws {
        let said = try await agent.expect("images", "--format", "json")
        #expect(said.components(separatedBy: #""status" : "ready""#).count == names.count + 1, "\(said)")
        #expect(try Self.incoming(agent) == [])
        let disks = try agent.leftFiles().filter { $0.hasPrefix("disks/") }
        #expect(disks.count == names.count)
        for disk in disks { try await tool("fsck.erofs", [agent.data.pushing(FilePath(disk)).string]) }
        for name in names {
            let path = agent.scratch.appending("saved.tar")
            try await agent.expect("save", "-o", path.string, name)
            try await tool("skopeo", ["inspect", "--raw", "oci-archive:\(path)"])
        }
        for name in names { try await agent.expect("rmi", name) }
        #expect(try agent.leftFiles() == [])
    }

    // MARK: Means

    private static func incoming(_ agent: PrivateAgent) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: agent.data.pushing("incoming").string)
    }

    private static func waitForIncoming(_ prefix: String, of agent: PrivateAgent) async throws {
        try await wait("\(prefix) is being written") { try incoming(agent).contains { $0.hasPrefix(prefix) } }
    }

    private static func wait(_ what: String, until holds: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await !holds() {
            guard ContinuousClock.now < deadline else { throw ToolFailure(description: "never: \(what)") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// Bytes that do not compress, and small files that take long to convert.
    private static func tree(in scratch: Scratch, name: String = "many", megabytes: Int, files: Int) async throws
        -> FilePath
    {
        let tree = scratch.appending("\(name)-tree")
        try FileManager.default.createDirectory(atPath: tree.string, withIntermediateDirectories: true)
        try await tool(
            "sh",
            [
                "-c", "head -c \"$1\" /dev/urandom > random && seq 1 \"$2\" | xargs touch", "sh", "\(megabytes << 20)",
                "\(files)",
            ],
            in: tree
        )
        return tree
    }

    private static func layout(in scratch: Scratch, name: String = "many", megabytes: Int, files: Int) async throws
        -> FilePath
    {
        let tar = scratch.appending("\(name).tar")
        try await TestImages.tar(try await tree(in: scratch, name: name, megabytes: megabytes, files: files), to: tar)
        let layout = scratch.appending("\(name)-layout")
        try await tool("umoci", ["init", "--layout", layout.string])
        try await tool("umoci", ["new", "--image", "\(layout):image"])
        try await tool("umoci", ["raw", "add-layer", "--image", "\(layout):image", tar.string])
        return layout
    }
}
