public import struct Foundation.Date

/// A snapshot.
public struct SnapshotResponse: Codable, Sendable, Hashable {
    public var id: String
    public var name: String?
    /// `Standby` or `Stopped`.
    public var kind: String
    public var sourceInstanceID: String
    public var sourceInstanceName: String
    /// nil for a disk alone.
    public var sourceHypervisor: String?
    public var sizeBytes: Int
    /// Always `none`.
    public var compressionState: String
    public var tags: [String: String]?
    public var createdAt: Date

    enum CodingKeys: String, CodingKey {
        case id, name, kind, tags
        case sourceInstanceID = "source_instance_id"
        case sourceInstanceName = "source_instance_name"
        case sourceHypervisor = "source_hypervisor"
        case sizeBytes = "size_bytes"
        case compressionState = "compression_state"
        case createdAt = "created_at"
    }

    public init(
        id: String,
        name: String?,
        kind: String,
        sourceInstanceID: String,
        sourceInstanceName: String,
        sourceHypervisor: String?,
        sizeBytes: Int,
        tags: [String: String]?,
        createdAt: Date
    ) {
        self.id = id
        self.name = name
        self.kind = kind
        self.sourceInstanceID = sourceInstanceID
        self.sourceInstanceName = sourceInstanceName
        self.sourceHypervisor = sourceHypervisor
        self.sizeBytes = sizeBytes
        self.compressionState = "none"
        self.tags = tags
        self.createdAt = createdAt
    }
}
