public import AgentCore
import Foundation
import SystemPackage

/// What every ``VolumeStore`` must do; each function makes its own through `make`.
public struct VolumeStoreConformance: Sendable {
    private let make: @Sendable () throws -> any VolumeStore

    /// - Parameter make: A store without volumes.
    public init(make: @escaping @Sendable () throws -> any VolumeStore) { self.make = make }

    /// A volume has its size and its place, until it is removed.
    public func volumesComeAndGo() async throws {
        let store = try make()
        let (first, second) = (VolumeID.random(), try VolumeID("my-data"))
        try await store.create(first, size: .mebibytes(64), from: nil)
        try await store.create(second, size: .mebibytes(32), from: nil)
        try require(try await store.fingerprint(of: first).size == .mebibytes(64), "it has its size")
        let path = try await store.open(first, readOnly: false)
        try require(try await store.open(first, readOnly: true) == path, "its path is the same each time")
        try require(try await store.open(second, readOnly: false) != path, "another one has another")
        try require(try await store.usage(of: first).bytes > 0, "it takes room")
        try await store.remove(first)
        try await store.remove(first)
        try require(try await store.usage(of: first).bytes == 0, "what is removed takes none")
        try await Self.requireFailure("volume_missing") { _ = try await store.open(first, readOnly: false) }
        try await Self.requireFailure("volume_missing") { _ = try await store.fingerprint(of: first) }
        try await Self.requireFailure("volume_missing") { try await store.grow(first, to: .mebibytes(128)) }
    }

    /// Looks change nothing, and a growth shows.
    public func growthShows() async throws {
        let store = try make()
        let id = VolumeID.random()
        try await store.create(id, size: .mebibytes(64), from: nil)
        let before = try await store.fingerprint(of: id)
        _ = try await store.open(id, readOnly: true)
        try require(try await store.fingerprint(of: id) == before, "a look changes nothing")
        try await store.grow(id, to: .mebibytes(96))
        let after = try await store.fingerprint(of: id)
        try require(after.size == .mebibytes(96) && after != before, "it has more room")
    }

    /// An archive becomes a volume; one that is broken becomes nothing.
    public func archivesBecomeVolumes() async throws {
        let store = try make()
        let (good, bad) = (VolumeID.random(), VolumeID.random())
        var tar = TarBuilder()
        tar.file("greeting", Array("hello".utf8))
        try await Self.create(good, tar.finished(), in: store)
        try require(try await store.fingerprint(of: good).size == .mebibytes(64), "it has its size")
        try await Self.requireFailure("invalid_archive") {
            try await Self.create(bad, Array(tar.finished().prefix(700)), in: store)
        }
        try await Self.requireFailure("volume_missing") { _ = try await store.fingerprint(of: bad) }
        var large = TarBuilder()
        large.file("large", [UInt8](repeating: 7, count: 65 << 20))
        try await Self.requireFailure("volume_too_small") { try await Self.create(bad, large.finished(), in: store) }
        try await Self.requireFailure("volume_missing") { _ = try await store.fingerprint(of: bad) }
    }

    /// What nobody keeps goes, archives that came half included.
    public func othersArePruned() async throws {
        let store = try make()
        let (kept, other) = (VolumeID.random(), VolumeID.random())
        for id in [kept, other] { try await store.create(id, size: .mebibytes(32), from: nil) }
        let archive = try await store.newArchiveFile()
        try require(FileManager.default.fileExists(atPath: archive.string), "the archive's file is there")
        try await store.prune(keeping: [kept])
        _ = try await store.fingerprint(of: kept)
        try await Self.requireFailure("volume_missing") { _ = try await store.fingerprint(of: other) }
        try require(!FileManager.default.fileExists(atPath: archive.string), "the archive's file is gone")
        let second = try await store.newArchiveFile()
        try await store.discard(second)
        try await store.discard(second)
        try require(!FileManager.default.fileExists(atPath: second.string), "what is discarded is gone")
    }

    private static func create(_ id: VolumeID, _ archive: [UInt8], in store: any VolumeStore) async throws {
        let path = try await store.newArchiveFile()
        try Data(archive).write(to: URL(filePath: path.string))
        do {
            try await store.create(id, size: .mebibytes(64), from: path)
        } catch {
            try await store.discard(path)
            throw error
        }
        try await store.discard(path)
    }

    private static func requireFailure(_ code: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as AgentError {
            return try require(error.code == code, "it fails with \(code): \(error.code), \(error)")
        }
        throw ConformanceFailure("nothing failed with \(code)")
    }
}
