import AgentCore
import AgentTestSupport
import Logging
import StoragePlugin
import SystemPackage
import Testing

@Suite("storage ports: doubles and real backends")
struct StorageConformanceTests {
    private func withLogs(_ body: (InstanceLogsConformance) async throws -> Void) async throws {
        try await body(InstanceLogsConformance { InMemoryLogs() })
        try await Scratch.with { scratch in
            let configuration = try scratch.storage().configuration
            try await body(
                InstanceLogsConformance {
                    try FileInstanceLogs(configuration: configuration, logger: Logger(label: "test"))
                }
            )
        }
    }

    @Test func logsKeepLinesWhole() async throws { try await withLogs { try await $0.keepsLinesWhole() } }
    @Test func logsCountEveryByteOnce() async throws { try await withLogs { try await $0.countsEveryByteOnce() } }
    @Test func logTailIsTheLastLines() async throws { try await withLogs { try await $0.tailIsTheLastLines() } }
    @Test func logReadingEndsAlthoughWritingGoesOn() async throws {
        try await withLogs { try await $0.readingEndsAlthoughWritingGoesOn() }
    }
    @Test func logFollowingEndsWithTheInstance() async throws {
        try await withLogs { try await $0.followingEndsWithTheInstance() }
    }
    @Test func logFollowingEndsWithTheRun() async throws {
        try await withLogs { try await $0.followingEndsWithTheRun() }
    }
    @Test func logFollowingFromNowOnBeginsWithTheUnfinishedLine() async throws {
        try await withLogs { try await $0.followingFromNowOnBeginsWithTheUnfinishedLine() }
    }
    @Test func unknownLogIsNotFound() async throws { try await withLogs { try await $0.unknownLogIsNotFound() } }

    private func withDisks(_ body: (DiskStoreConformance) async throws -> Void) async throws {
        try await body(DiskStoreConformance { InMemoryDisks() })
        try await Scratch.with { scratch in
            let configuration = try scratch.storage().configuration
            try await body(DiskStoreConformance { try DirectoryDiskStore(configuration: configuration) })
        }
    }

    private func withVolumes(_ body: (VolumeStoreConformance) async throws -> Void) async throws {
        try await Scratch.with { scratch in
            let (root, configuration) = (scratch.appending("double"), try scratch.storage().configuration)
            try await body(VolumeStoreConformance { InMemoryVolumes(root: root) })
            try await body(VolumeStoreConformance { try DirectoryVolumeStore(configuration: configuration) })
        }
    }

    @Test func volumesComeAndGo() async throws { try await withVolumes { try await $0.volumesComeAndGo() } }
    @Test func volumesGrow() async throws { try await withVolumes { try await $0.growthShows() } }
    @Test func archivesBecomeVolumes() async throws { try await withVolumes { try await $0.archivesBecomeVolumes() } }
    @Test func otherVolumesArePruned() async throws { try await withVolumes { try await $0.othersArePruned() } }
    @Test func volumesHaveOverlays() async throws { try await withDisks { try await $0.volumesHaveOverlays() } }

    private func withSnapshots(_ body: (SnapshotStoreConformance) async throws -> Void) async throws {
        try await Scratch.with { scratch in
            let (root, configuration) = (
                try scratch.storage().configuration.dataDirectory.appending("double"),
                try scratch.storage().configuration
            )
            try await body(SnapshotStoreConformance { InMemorySnapshots(root: root) })
            try await body(SnapshotStoreConformance { try DirectorySnapshotStore(configuration: configuration) })
        }
    }

    @Test func committedSnapshotIsThere() async throws { try await withSnapshots { try await $0.committedIsThere() } }
    @Test func damagedSnapshotIsNamed() async throws { try await withSnapshots { try await $0.damageIsNamed() } }
    @Test func sharedFilesOfSnapshotsAreKept() async throws {
        try await withSnapshots { try await $0.sharedFilesAreKept() }
    }
    @Test func leftoversOfSnapshotsGo() async throws { try await withSnapshots { try await $0.leftoversGo() } }

    @Test func overlayIsMadeOnce() async throws { try await withDisks { try await $0.overlayIsMadeOnce() } }
    @Test func overlaysAreCopied() async throws { try await withDisks { try await $0.overlaysAreCopied() } }
    @Test func configurationDiskIsReplaced() async throws {
        try await withDisks { try await $0.configurationDiskIsReplaced() }
    }
    @Test func removedInstancesAreGone() async throws { try await withDisks { try await $0.removedInstancesAreGone() } }

    @Test func imagesInMemoryConform() async throws {
        let images = InMemoryImages()
        let known = try ImageReference("example.com/known:1")
        let image = FetchedImage(digest: Fixtures.digest("a"), configuration: ImageConfiguration(), layers: [])
        images.publish(image, as: known)
        let archive = FilePath("/nonexistent/archive")
        images.setContents(
            FetchedImage(digest: Fixtures.digest("b"), configuration: ImageConfiguration(), layers: []),
            of: archive
        )
        try await ImageConformance(
            .init(
                registry: images,
                reader: images,
                builder: images,
                store: images,
                writer: images,
                known: known,
                unknown: try ImageReference("example.com/unknown:1"),
                archive: archive
            )
        ).run()
    }

    @Test func imagesFromARegistryConform() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            tar.file("known")
            let layout = try await Layout.make([tar.finished()], in: scratch)
            try await DockerRegistry.with(scratch) { registry in
                try await registry.push(layout, as: "known:1")
                var other = TarBuilder()
                other.file("other")
                let archive = try scratch.write(other.finished(), to: "archive.tar")
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let client = try RegistryClient(
                    configuration: storage.configuration,
                    store: storage.store,
                    logger: Logger(label: "test")
                )
                let conformance = ImageConformance(
                    .init(
                        registry: client,
                        reader: storage.reader,
                        builder: storage.builder,
                        store: storage.store,
                        writer: OCIArchiveWriter(store: storage.store),
                        known: try ImageReference("\(registry.host)/known:1"),
                        unknown: try ImageReference("\(registry.host)/unknown:1"),
                        archive: archive
                    )
                )
                do {
                    try await conformance.run()
                    try await client.shutdown()
                } catch {
                    try await client.shutdown()
                    throw error
                }
            }
        }
    }

    @Test func providersMakeAWholeGraph() async throws {
        try await Scratch.with { scratch in
            let configuration = try scratch.storage().configuration
            let graph = Graph {
                value(configuration)
                value(Logger(label: "test"))
                StoragePlugin.providers
            }
            let built = try await graph.build((any ImageRegistry).self)
            try await built.tearDown()
        }
    }
}
