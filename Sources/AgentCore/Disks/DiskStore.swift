public import SystemPackage

/// The writable disks of instances, a directory each.
public protocol DiskStore: Sendable {
    /// Makes an instance's overlay: a sparse ext4 of `size`. An overlay that is there is left as it is.
    ///
    /// - Returns: Its path, which is the same each time.
    /// - Throws: ``AgentError`` `storageFull` if the host's disk is full; nothing is left then.
    func createOverlay(for instance: InstanceID, size: ByteSize) async throws -> FilePath

    /// Writes an instance's configuration disk anew: `contents` first, zeros up to whole sectors after it.
    ///
    /// - Returns: Its path, which is the same each time.
    func writeConfigurationDisk(for instance: InstanceID, contents: [UInt8]) async throws -> FilePath

    /// The host bytes that an instance's disks really take.
    func usage(of instance: InstanceID) async throws -> ByteSize

    /// Removes all of an instance's disks. Idempotent.
    func remove(_ instance: InstanceID) async throws

    /// The instances that have a directory here, for reconciling.
    func instances() async throws -> [InstanceID]
}
