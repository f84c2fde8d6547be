public import SystemPackage

/// The writable disks of instances, a directory each.
public protocol DiskStore: Sendable {
    /// Makes an instance's overlay: a sparse ext4 of `size`. An overlay that is there is left as it is.
    ///
    /// - Returns: Its path, which is the same each time.
    /// - Throws: ``AgentError`` `storageFull` if the host's disk is full; nothing is left then.
    func createOverlay(for instance: InstanceID, size: ByteSize) async throws -> FilePath

    /// Makes the disk that takes what an instance writes to a volume that it has read-only, as its overlay.
    ///
    /// - Returns: Its path, which is the same each time.
    func createOverlay(for instance: InstanceID, over volume: VolumeID, size: ByteSize) async throws -> FilePath

    /// What tells whether such a disk was written to meanwhile.
    ///
    /// - Throws: ``AgentError`` `invalidState` `disk_missing` if there is none.
    func fingerprint(of instance: InstanceID, over volume: VolumeID) async throws -> DiskFingerprint

    /// Removes such a disk. Idempotent.
    func removeOverlay(of instance: InstanceID, over volume: VolumeID) async throws

    /// Writes an instance's configuration disk anew: `contents` first, zeros up to whole sectors after it.
    ///
    /// - Returns: Its path, which is the same each time.
    func writeConfigurationDisk(for instance: InstanceID, contents: [UInt8]) async throws -> FilePath

    /// What tells whether an instance's writable disk was written to meanwhile: size and time of the last change.
    ///
    /// - Throws: ``AgentError`` `invalidState` `disk_missing` if there is none.
    func fingerprint(of instance: InstanceID) async throws -> DiskFingerprint

    /// Copies an instance's overlay, which nobody writes to meanwhile, to a new file; holes stay holes, and where the file
    /// system can, both share what they have in common. It is on disk when this returns.
    ///
    /// - Throws: ``AgentError`` `storageFull`, `invalidState` `disk_missing`; nothing is left then.
    func copyOverlay(of instance: InstanceID, to path: FilePath) async throws

    /// Makes an instance's overlay a copy of another's, as ``copyOverlay(of:to:)`` does; it had none.
    ///
    /// - Throws: As ``copyOverlay(of:to:)``; it has none then.
    func copyOverlay(of instance: InstanceID, for copy: InstanceID) async throws

    /// Puts a copy of a file in the place of an instance's overlay, if it has one, at once and for good.
    ///
    /// - Parameters:
    ///   - instance: Whose.
    ///   - path: The file.
    ///   - isReady: Called when the copy is on disk as a whole, just before it takes the overlay's place.
    /// - Throws: ``AgentError`` `storageFull`, and what `isReady` does; the overlay is what it was then.
    func replaceOverlay(of instance: InstanceID, by path: FilePath, isReady: @Sendable () async throws -> Void)
        async throws

    /// The host bytes that an instance's disks really take.
    func usage(of instance: InstanceID) async throws -> ByteSize

    /// Removes all of an instance's disks. Idempotent.
    func remove(_ instance: InstanceID) async throws

    /// The instances that have a directory here, for reconciling.
    func instances() async throws -> [InstanceID]
}

/// What a writable disk looks like from outside; another value means that it was changed.
public struct DiskFingerprint: Sendable, Hashable, Codable {
    public var size: ByteSize
    /// Of the last change, since 1970-01-01 00:00 UTC.
    public var modifiedNanoseconds: Int

    public init(size: ByteSize, modifiedNanoseconds: Int) {
        self.size = size
        self.modifiedNanoseconds = modifiedNanoseconds
    }
}
