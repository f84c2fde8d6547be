import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@Suite struct VolumesServiceTests {
    private static let broken = AgentError(.unavailable, code: "injected", "it was told to fail")

    @discardableResult
    private static func make(
        _ name: String,
        _ size: ByteSize = .gibibytes(1),
        id: String? = nil,
        in world: AgentWorld
    ) async throws -> Volume {
        let request = CreateVolumeRequest(
            name: try VolumeName(name),
            size: size,
            id: try id.map { try VolumeID($0) },
            tags: ["team": name]
        )
        return try await world.volumes.create(request)
    }

    private static func events(_ world: AgentWorld) async throws -> [String] {
        let events = try await world.store.events(after: 0, limit: 1000)
        return events.map(\.event.kind.rawValue).filter { $0.hasPrefix("volume.") }
    }

    @Test func volumesComeGrowAndGo() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.make("data", in: world)
            let logs = try await Self.make("logs", id: "my-logs", in: world)
            #expect(world.volumes.list().map(\.name.rawValue) == ["data", "logs"])
            var filter = VolumeFilter()
            filter.tags = ["team": "logs"]
            #expect(world.volumes.list(filter) == [logs])
            for reference in [data.id.rawValue, "data", String(data.id.rawValue.prefix(6))] {
                #expect(try world.volumes.get(reference) == data)
            }
            #expect(try await world.volumes.grow("data", to: .gibibytes(2)).size == .gibibytes(2))
            #expect(try await world.volumes.grow("data", to: .gibibytes(2)).size == .gibibytes(2), "twice is once")
            #expect(try await world.store.load().volumes.map(\.size) == [.gibibytes(2), .gibibytes(1)])
            try await world.volumes.delete("my-logs")
            #expect(world.volumes.list().map(\.name.rawValue) == ["data"])
            #expect(world.volumeDisks.all == [data.id])
            #expect(
                try await Self.events(world) == ["volume.created", "volume.created", "volume.grown", "volume.deleted"]
            )
        }
    }

    @Test func namesIdsAndRoomAreTakenOnce() async throws {
        try await AgentWorld.with { world in
            try await Self.make("data", .gibibytes(60), id: "first", in: world)
            for (name, size, id, code) in [
                ("data", 1, "second", "name_conflict"), ("other", 1, "first", "already_exists"),
                ("other", 41, "second", "quota_exceeded"),
            ] {
                let error = await #expect(throws: AgentError.self) {
                    try await Self.make(name, .gibibytes(size), id: id, in: world)
                }
                #expect(error?.code == code, "\(String(describing: error))")
            }
            let error = await #expect(throws: AgentError.self) {
                try await world.volumes.grow("data", to: .gibibytes(101))
            }
            #expect(error?.code == "quota_exceeded")
            #expect(error?.message.contains("MAX_TOTAL_VOLUME_STORAGE") == true)
            try await Self.make("other", .gibibytes(40), in: world)
            #expect(throws: AgentError.self) { try world.volumes.get("nope") }
        }
    }

    @Test(arguments: ["", "Data", "a/b", "..", "-a", "a-", "a.b", String(repeating: "a", count: 64)])
    func idsThatCouldBePathsAreNone(_ text: String) {
        #expect(throws: AgentError.self) { try VolumeID(text) }
    }

    @Test func whatCannotBeIsRefused() async throws {
        try await AgentWorld.with { world in
            try await Self.make("data", .gibibytes(2), in: world)
            for (size, code) in [
                (ByteSize.gibibytes(1), "invalid_size"), (ByteSize.gibibytes(1 << 20), "invalid_size"),
            ] {
                let error = await #expect(throws: AgentError.self) { try await world.volumes.grow("data", to: size) }
                #expect(error?.code == code)
            }
            await #expect(throws: AgentError.self) { try await Self.make("tiny", .mebibytes(1), in: world) }
            #expect(throws: AgentError.self) { try VolumeName("no spaces") }
            #expect(throws: AgentError.self) { try VolumeName(".hidden") }
        }
    }

    enum Step: CaseIterable { case disk, commit }

    @Test(arguments: Step.allCases) func aVolumeThatCouldNotBeMadeIsNotThere(_ step: Step) async throws {
        try await AgentWorld.with { world in
            switch step {
            case .disk: world.volumeDisks.fail(.create, with: Self.broken)
            case .commit: world.store.failCommits(with: Self.broken)
            }
            let error = await #expect(throws: AgentError.self) { try await Self.make("data", in: world) }
            #expect(error?.code == "injected")
            #expect(world.volumes.list().isEmpty && world.volumeDisks.all.isEmpty)
            world.store.failCommits(with: nil)
            try await Self.make("data", in: world)
        }
    }

    @Test(arguments: Step.allCases) func aGrowthThatFailedChangesNothing(_ step: Step) async throws {
        try await AgentWorld.with { world in
            try await Self.make("data", in: world)
            switch step {
            case .disk: world.volumeDisks.fail(.grow, with: Self.broken)
            case .commit: world.store.failCommits(with: Self.broken)
            }
            await #expect(throws: AgentError.self) { try await world.volumes.grow("data", to: .gibibytes(99)) }
            #expect(try world.volumes.get("data").size == .gibibytes(1))
            world.store.failCommits(with: nil)
            try await Self.make("other", .gibibytes(99), in: world)
        }
    }

    @Test func aDeleteThatCouldNotBeStoredDeletesNothing() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.make("data", in: world)
            world.store.failCommits(with: Self.broken)
            await #expect(throws: AgentError.self) { try await world.volumes.delete("data") }
            world.store.failCommits(with: nil)
            #expect(try world.volumes.get("data") == data && world.volumeDisks.all == [data.id])
            try await world.volumes.delete("data")
        }
    }

    @Test func anArchiveIsGoneWhateverCameOfIt() async throws {
        try await AgentWorld.with { world in
            for (bytes, succeeds) in [(TarBuilder().finished(), false), ([UInt8]([1, 2, 3]), false), (Self.tar, true)] {
                let archive = try await world.volumes.newArchiveFile()
                try Data(bytes).write(to: URL(filePath: archive.string))
                let request = CreateVolumeRequest(name: try VolumeName("data"), size: .gibibytes(1))
                let volume = try? await world.volumes.create(request, from: archive)
                #expect((volume != nil) == succeeds)
                #expect(!FileManager.default.fileExists(atPath: archive.string))
            }
            let data = try world.volumes.get("data")
            #expect(world.volumeDisks.contents(of: data.id) == Self.tar)
        }
    }

    private static var tar: [UInt8] {
        var tar = TarBuilder()
        tar.file("greeting", Array("hello".utf8))
        return tar.finished()
    }

    // MARK: Over a crash

    @Test func whatNobodyOwnsIsRemovedAndAGrowthThatNobodyWroteDownCounts() async throws {
        try await AgentWorld.with { world in
            let data = try await Self.make("data", in: world)
            try await world.volumeDisks.create(.random(), size: .gibibytes(1), from: nil)
            world.volumeDisks.growSilently(data.id, to: .gibibytes(3))
            try await world.restart()
            #expect(world.volumeDisks.all == [data.id])
            #expect(try world.volumes.get("data").size == .gibibytes(3))
            #expect(try await world.store.load().volumes.map(\.size) == [.gibibytes(3)])
        }
    }

    @Test func aDeleteThatWasCutOffIsFinished() async throws {
        try await AgentWorld.with { world in
            try await Self.make("data", in: world)
            world.volumeDisks.fail(.remove, with: Self.broken)
            await #expect(throws: AgentError.self) { try await world.volumes.delete("data") }
            #expect(world.volumes.list().isEmpty)
            try await world.restart()
            #expect(world.volumeDisks.all.isEmpty && world.volumes.list().isEmpty)
            try await Self.make("data", in: world)
        }
    }
}
