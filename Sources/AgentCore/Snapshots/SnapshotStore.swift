/// Saved machines on disk: each is there whole or not at all, also over a crash.
///
/// One is begun, filled by a hypervisor, and committed; what was begun and never committed is removed by ``prune(keeping:)``.
/// All methods may be called at the same time for different snapshots.
public protocol SnapshotStore: Sendable {
    /// Makes an empty directory for a new one, which nobody but the agent and its VMMs can enter.
    func begin(_ id: SnapshotID) async throws -> SnapshotDirectory

    /// Puts the files of a committed one, but a copy of a disk, into another that was begun; they are never changed, so
    /// both share what they take.
    ///
    /// - Returns: Those files as they were written once, for the manifest of the other.
    /// - Throws: ``AgentError`` `invalidState` `snapshot_missing`.
    func share(_ id: SnapshotID, with other: SnapshotID) async throws -> [SnapshotManifest.File]

    /// Makes what was begun durable, with its manifest: sizes and checksums of its files are added here,
    /// but of those that the manifest has: what is shared keeps its own, so that damage is not taken for what was written.
    ///
    /// - Throws: ``AgentError`` `storageFull`; it can be discarded then, and is not there.
    func commit(_ id: SnapshotID, _ manifest: SnapshotManifest) async throws

    /// Reads a manifest, without a look at the files that it speaks of.
    ///
    /// - Throws: ``AgentError`` `invalidState` `snapshot_missing` or `snapshot_corrupt`; `versionMismatch`
    ///   `snapshot_version_mismatch` if another release of the agent wrote it in a form of its own.
    func manifest(of id: SnapshotID) async throws -> SnapshotManifest

    /// Where the files of a committed one are; nobody has looked whether they are.
    func directory(of id: SnapshotID) -> SnapshotDirectory

    /// Checks that the files of one are there whole and as they were written.
    ///
    /// - Throws: As ``manifest(of:)``, naming the file.
    func verify(_ id: SnapshotID) async throws

    /// The host bytes that one really takes; 0 if it is not there.
    func usage(of id: SnapshotID) async throws -> ByteSize

    /// Removes one, whether begun or committed. Idempotent.
    func remove(_ id: SnapshotID) async throws

    /// Removes all others.
    func prune(keeping ids: Set<SnapshotID>) async throws
}
