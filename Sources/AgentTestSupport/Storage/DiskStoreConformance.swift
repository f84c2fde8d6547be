public import AgentCore
import SystemPackage

/// What every ``DiskStore`` must do; each function makes its own through `make`.
public struct DiskStoreConformance: Sendable {
    private let make: @Sendable () throws -> any DiskStore

    /// - Parameter make: A store without disks.
    public init(make: @escaping @Sendable () throws -> any DiskStore) { self.make = make }

    /// An overlay is made once, and keeps its path.
    public func overlayIsMadeOnce() async throws {
        let store = try make()
        let id = InstanceID.random()
        let first = try await store.createOverlay(for: id, size: .mebibytes(64))
        let second = try await store.createOverlay(for: id, size: .mebibytes(64))
        try require(first == second, "the path is the same each time")
        let other = try await store.createOverlay(for: .random(), size: .mebibytes(64))
        try require(other != first, "another instance has another disk")
    }

    /// A configuration disk can be written again, and keeps its path.
    public func configurationDiskIsReplaced() async throws {
        let store = try make()
        let id = InstanceID.random()
        let first = try await store.writeConfigurationDisk(for: id, contents: [1, 2, 3])
        let second = try await store.writeConfigurationDisk(for: id, contents: Array(repeating: 7, count: 2000))
        try require(first == second, "the path is the same each time")
    }

    /// An overlay is copied and brought back; each change shows in its fingerprint.
    public func overlaysAreCopied() async throws {
        let store = try make()
        let id = InstanceID.random()
        _ = try await store.createOverlay(for: id, size: .mebibytes(64))
        let before = try await store.fingerprint(of: id)
        try require(try await store.fingerprint(of: id) == before, "a look changes nothing")
        try await Scratch.with { scratch in
            let copy = scratch.path.appending("copy")
            try await store.copyOverlay(of: id, to: copy)
            try require(try await store.fingerprint(of: id) == before, "a copy changes nothing")
            do {
                try await store.replaceOverlay(of: id, by: copy) {
                    throw ConformanceFailure("it is not to be replaced")
                }
            } catch is ConformanceFailure {
                try require(try await store.fingerprint(of: id) == before, "what was called off changes nothing")
            }
            try await store.replaceOverlay(of: id, by: copy) {
                try require(try await store.fingerprint(of: id) == before, "it is in its place afterwards")
            }
            let after = try await store.fingerprint(of: id)
            try require(after.size == before.size && after != before, "another disk is in its place")
            let (twin, third) = (InstanceID.random(), InstanceID.random())
            try await store.copyOverlay(of: id, for: twin)
            try require(try await store.fingerprint(of: twin).size == before.size, "another instance has the same disk")
            try require(try await store.fingerprint(of: id) == after, "and this one is left alone")
            try await store.replaceOverlay(of: third, by: copy) {}
            try require(try await store.fingerprint(of: third).size == before.size, "also one that had no disk")
            try require(Set(try await store.instances()) == [id, twin, third], "all are listed")
            let none = scratch.path.appending("none")
            do {
                try await store.copyOverlay(of: .random(), to: none)
            } catch let error as AgentError {
                return try require(error.code == "disk_missing", "what is not there is missing: \(error)")
            }
            throw ConformanceFailure("what is not there was copied")
        }
    }

    /// The overlays over volumes are an instance's own, each by itself, and go with it.
    public func volumesHaveOverlays() async throws {
        let store = try make()
        let (id, first, second) = (InstanceID.random(), VolumeID.random(), VolumeID.random())
        let path = try await store.createOverlay(for: id, over: first, size: .mebibytes(64))
        let same = try await store.createOverlay(for: id, over: first, size: .mebibytes(64))
        try require(path == same, "the path is the same each time")
        try require(
            try await store.createOverlay(for: id, over: second, size: .mebibytes(64)) != path,
            "another volume has another disk"
        )
        try require(try await store.fingerprint(of: id, over: first).size == .mebibytes(64), "it has its size")
        try await store.removeOverlay(of: id, over: first)
        try await store.removeOverlay(of: id, over: first)
        do {
            _ = try await store.fingerprint(of: id, over: first)
            throw ConformanceFailure("a disk that was removed has a fingerprint")
        } catch let error as AgentError {
            try require(error.code == "disk_missing", "what is not there is missing: \(error)")
        }
        _ = try await store.fingerprint(of: id, over: second)
        try await store.remove(id)
        try require(try await store.instances().isEmpty, "nothing is left")
    }

    /// Instances are listed as long as they have disks; removing twice is no error.
    public func removedInstancesAreGone() async throws {
        let store = try make()
        let ids = [InstanceID.random(), .random()]
        for id in ids { _ = try await store.createOverlay(for: id, size: .mebibytes(64)) }
        try require(Set(try await store.instances()) == Set(ids), "both are listed")
        try await store.remove(ids[0])
        try await store.remove(ids[0])
        try require(try await store.instances() == [ids[1]], "the removed one is not")
        try require(try await store.usage(of: ids[0]).bytes == 0, "what is removed takes no space")
    }
}
