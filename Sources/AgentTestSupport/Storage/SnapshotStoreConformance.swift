public import AgentCore
import Foundation
import SystemPackage

/// What every ``SnapshotStore`` must do; each function makes its own through `make`.
public struct SnapshotStoreConformance: Sendable {
    private let make: @Sendable () throws -> any SnapshotStore

    /// - Parameter make: A store without snapshots.
    public init(make: @escaping @Sendable () throws -> any SnapshotStore) { self.make = make }

    /// What was committed is read as it was, with its files; it is not there before.
    public func committedIsThere() async throws {
        let store = try make()
        let id = SnapshotID.random()
        let directory = try await store.begin(id)
        try await Self.requireFailure("snapshot_missing") { _ = try await store.manifest(of: id) }
        try Self.write("abc", "memory", in: directory)
        try await store.commit(id, Self.manifest)
        var found = try await store.manifest(of: id)
        try require(found.files.map(\.name) == ["memory"] && found.files.map(\.size) == [3], "its file is named")
        found.files = []
        try require(found == Self.manifest, "the manifest is what was given")
        try await store.verify(id)
        let bytes = FileManager.default.contents(atPath: store.directory(of: id).path.appending("memory").string)
        try require(bytes == Data("abc".utf8), "its file has its contents")
    }

    /// Damage is named, each kind by its code, and a snapshot that is damaged can be removed.
    public func damageIsNamed() async throws {
        let store = try make()
        let damages: [(String, @Sendable (FilePath) throws -> Void)] = [
            ("snapshot_missing", { try FileManager.default.removeItem(atPath: $0.string) }),
            ("snapshot_corrupt", { try Data("ab".utf8).write(to: URL(filePath: $0.string)) }),
            ("snapshot_corrupt", { try Data("abd".utf8).write(to: URL(filePath: $0.string)) }),
        ]
        for (code, damage) in damages {
            let id = SnapshotID.random()
            try Self.write("abc", "memory", in: try await store.begin(id))
            try await store.commit(id, Self.manifest)
            try await store.verify(id)
            try damage(store.directory(of: id).path.appending("memory"))
            try await Self.requireFailure(code) { try await store.verify(id) }
            try await store.remove(id)
            try await Self.requireFailure("snapshot_missing") { try await store.verify(id) }
        }
    }

    /// Files that are shared outlive whoever had them first, and a copy of a disk is not shared.
    public func sharedFilesAreKept() async throws {
        let store = try make()
        let (first, second) = (SnapshotID.random(), SnapshotID.random())
        let directory = try await store.begin(first)
        try Self.write("abc", "memory", in: directory)
        try Self.write("disk", SnapshotManifest.overlayName, in: directory)
        try await store.commit(first, Self.manifest)
        _ = try await store.begin(second)
        var manifest = Self.manifest
        manifest.files = try await store.share(first, with: second)
        try await store.commit(second, manifest)
        try await store.remove(first)
        try await store.verify(second)
        try require(try await store.manifest(of: second).files.map(\.name) == ["memory"], "the memory alone is shared")
        try await Self.requireFailure("snapshot_missing") { _ = try await store.share(first, with: second) }

        // What was damaged before it was shared is not taken for what was written.
        let damaged = SnapshotID.random()
        try Self.write("abd", "memory", in: store.directory(of: second))
        _ = try await store.begin(damaged)
        manifest.files = try await store.share(second, with: damaged)
        try await store.commit(damaged, manifest)
        try await Self.requireFailure("snapshot_corrupt") { try await store.verify(damaged) }
    }

    /// One that was begun twice starts empty; removing is idempotent; pruning leaves what is kept.
    public func leftoversGo() async throws {
        let store = try make()
        let ids = (0..<3).map { _ in SnapshotID.random() }
        for id in ids { try Self.write("abc", "memory", in: try await store.begin(id)) }
        let again = try await store.begin(ids[0])
        try require(try FileManager.default.contentsOfDirectory(atPath: again.path.string).isEmpty, "it starts empty")
        try Self.write("abc", "memory", in: again)
        for id in ids.prefix(2) { try await store.commit(id, Self.manifest) }
        try await store.prune(keeping: [ids[0]])
        try await store.verify(ids[0])
        for id in ids.dropFirst() {
            try await Self.requireFailure("snapshot_missing") { _ = try await store.manifest(of: id) }
            try require(try await store.usage(of: id).bytes == 0, "what is gone takes no room")
            try await store.remove(id)
        }
        try require(try await store.usage(of: ids[0]).bytes > 0, "what is there takes some")
    }

    private static let manifest = SnapshotManifest(
        instance: Fixtures.instance("web").id,
        createdAt: Fixtures.time,
        memory: SavedMemory(
            hypervisor: .qemu,
            version: "7.2.0",
            accelerator: .tcg,
            processor: nil,
            session: "00",
            machine: Fixtures.machine,
            outputPosition: 7
        ),
        overlay: DiskFingerprint(size: .gibibytes(1), modifiedNanoseconds: 5)
    )

    private static func write(_ text: String, _ name: String, in directory: SnapshotDirectory) throws {
        try Data(text.utf8).write(to: URL(filePath: directory.path.appending(name).string))
    }

    private static func requireFailure(_ code: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as AgentError {
            return try require(error.code == code, "\(error.code) instead of \(code): \(error)")
        }
        throw ConformanceFailure("no failure, where \(code) was to come")
    }
}
