import AgentCore
import AgentTestSupport
import Testing

/// What a memory needs beside itself.
@Suite struct RestoreRefusalTests {
    enum Missing: CaseIterable { case overlay, image }

    @Test(arguments: Missing.allCases) func aDiskThatIsMissingIsNamed(_ missing: Missing) async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let snapshot = try #require(try await world.instances.standby("web").standby).snapshot
            switch missing {
            case .overlay: world.disks.loseOverlay(of: instance.id)
            case .image: world.pictures.loseDisk(Fixtures.digest())
            }
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.kind == .invalidState)
            #expect(error?.code == (missing == .overlay ? "disk_missing" : "image_not_ready"))
            #expect(try world.instances.get("web").state == .standby)
            #expect(world.snapshots.all == [snapshot], "it is untouched")
            #expect(world.host.running.isEmpty && world.network.attached.isEmpty)
            try await world.instances.delete("web")
            #expect(world.snapshots.all.isEmpty)
        }
    }

    /// The VMM may have taken up a file that is damaged before that is known.
    @Test(arguments: [false, true]) func aMemoryThatIsDamagedNeverRuns(doesVMMRefuse: Bool) async throws {
        try await AgentWorld.with { world in
            let instance = try await world.make("web")
            let snapshot = try #require(try await world.instances.standby("web").standby).snapshot
            let damage = AgentError(.invalidState, code: "snapshot_corrupt", "the checksum of its file memory is wrong")
            world.snapshots.fail(.verify, with: damage)
            if doesVMMRefuse {
                world.host.fail(.restore, with: AgentError(.unavailable, "QEMU could not load it"))
            }
            let error = await #expect(throws: AgentError.self) { try await world.instances.restore("web") }
            #expect(error?.code == "snapshot_corrupt" && error?.message.contains("checksum") == true, "\(error as Any)")
            #expect(try world.instances.get("web").state == .standby)
            #expect(world.snapshots.all == [snapshot], "it is untouched")
            #expect(world.host.running.isEmpty && world.network.attached.isEmpty)
            #expect(!world.host.calls.contains { $0.call == .resume && $0.instance == instance.id })
        }
    }
}
