public import struct Foundation.Date

/// A volume.
public struct VolumeResponse: Codable, Sendable, Hashable {
    /// An instance that has it.
    public struct Attachment: Codable, Sendable, Hashable {
        public var instanceID: String
        /// This agent's own.
        public var instanceName: String
        public var mountPath: String
        public var readonly: Bool

        enum CodingKeys: String, CodingKey {
            case readonly
            case instanceID = "instance_id"
            case instanceName = "instance_name"
            case mountPath = "mount_path"
        }

        public init(instanceID: String, instanceName: String, mountPath: String, readonly: Bool) {
            self.instanceID = instanceID
            self.instanceName = instanceName
            self.mountPath = mountPath
            self.readonly = readonly
        }
    }

    public var id: String
    public var name: String
    /// In GiB.
    public var size: Int
    public var tags: [String: String]?
    public var createdAt: Date
    /// nil where nobody has it.
    public var attachments: [Attachment]?

    enum CodingKeys: String, CodingKey {
        case id, name, tags, attachments
        case size = "size_gb"
        case createdAt = "created_at"
    }

    public init(
        id: String,
        name: String,
        size: Int,
        tags: [String: String]?,
        createdAt: Date,
        attachments: [Attachment]?
    ) {
        self.id = id
        self.name = name
        self.size = size
        self.tags = tags
        self.createdAt = createdAt
        self.attachments = attachments
    }
}
