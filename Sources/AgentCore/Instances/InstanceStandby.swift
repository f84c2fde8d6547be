public import struct Foundation.Date

/// An instance's memory on disk.
public struct InstanceStandby: Sendable, Hashable, Codable {
    /// Where it is.
    public var snapshot: SnapshotID
    public var createdAt: Date

    public init(snapshot: SnapshotID, createdAt: Date) {
        self.snapshot = snapshot
        self.createdAt = createdAt
    }
}
