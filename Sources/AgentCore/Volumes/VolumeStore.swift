public import SystemPackage

/// The disks of volumes: an ext4 each, there whole or not at all, also over a crash.
///
/// What is asked of one volume comes one call after the other; calls for different ones may be made at the same time.
public protocol VolumeStore: Sendable {
    /// A new empty file for an archive that is being received; removed by ``discard(_:)`` or ``prune(keeping:)``.
    func newArchiveFile() async throws -> FilePath
    /// Removes a file made by ``newArchiveFile()``. Idempotent.
    func discard(_ archive: FilePath) async throws

    /// Makes a volume: empty, or with what is in a tar archive, as it is or compressed with gzip or zstd.
    ///
    /// Owners, modes, times, links, devices and extended attributes are those of the archive, although the agent need not
    /// be root.
    ///
    /// - Throws: ``AgentError``: `invalidArgument` `invalid_archive`, which says what is wrong and in which entry, or
    ///   `volume_too_small`; `storageFull`. Nothing is left then.
    func create(_ id: VolumeID, size: ByteSize, from archive: FilePath?) async throws

    /// The disk for a machine that is going to have it.
    ///
    /// One that is to be read only is first brought to where it can be read without a write: a guest that was killed
    /// leaves its journal to be replayed.
    ///
    /// - Throws: `invalidState` `volume_missing` or `volume_damaged`.
    func open(_ id: VolumeID, readOnly: Bool) async throws -> FilePath

    /// Gives a volume that no machine has more room; it is as it was until it has it.
    ///
    /// - Throws: As ``open(_:readOnly:)``; `storageFull`.
    func grow(_ id: VolumeID, to size: ByteSize) async throws

    /// What tells whether a volume was written to meanwhile.
    ///
    /// - Throws: `invalidState` `volume_missing`.
    func fingerprint(of id: VolumeID) async throws -> DiskFingerprint

    /// The host bytes that one really takes; 0 if it is not there.
    func usage(of id: VolumeID) async throws -> ByteSize

    /// Removes one. Idempotent.
    func remove(_ id: VolumeID) async throws

    /// Removes all others, and what was begun and never finished.
    func prune(keeping ids: Set<VolumeID>) async throws
}
