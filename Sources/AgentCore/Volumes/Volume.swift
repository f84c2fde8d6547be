public import struct Foundation.Date

/// A disk that outlives instances: read-write in one of them, or read-only in many.
public struct Volume: Sendable, Hashable, Codable, Identifiable {
    public let id: VolumeID
    /// Another volume cannot have it.
    public var name: VolumeName
    /// Of the disk; a guest has a little less of it.
    public var size: ByteSize
    public var tags: [String: String]
    public var createdAt: Date
    /// Who has it, at the moment it was asked for; not stored with it, for instances say so themselves.
    public var attachments: [VolumeAttachment] = []

    enum CodingKeys: String, CodingKey {
        case id, name, size, tags, createdAt
    }

    public init(id: VolumeID, name: VolumeName, size: ByteSize, tags: [String: String], createdAt: Date) {
        self.id = id
        self.name = name
        self.size = size
        self.tags = tags
        self.createdAt = createdAt
    }
}

/// An instance that has a volume, whether or not it runs.
public struct VolumeAttachment: Sendable, Hashable {
    public var instance: InstanceID
    public var instanceName: InstanceName
    public var path: MountPath
    public var readOnly: Bool

    public init(instance: InstanceID, instanceName: InstanceName, path: MountPath, readOnly: Bool) {
        self.instance = instance
        self.instanceName = instanceName
        self.path = path
        self.readOnly = readOnly
    }
}

/// What a caller asks for when making a volume.
public struct CreateVolumeRequest: Sendable, Hashable {
    public var name: VolumeName
    public var size: ByteSize
    /// nil lets the agent choose.
    public var id: VolumeID?
    public var tags: [String: String]

    public init(name: VolumeName, size: ByteSize, id: VolumeID? = nil, tags: [String: String] = [:]) {
        self.name = name
        self.size = size
        self.id = id
        self.tags = tags
    }
}

/// Which volumes a list contains; everything that is set must fit.
public struct VolumeFilter: Sendable, Hashable {
    public var name: String?
    public var tags: [String: String] = [:]

    public init() {}

    func matches(_ volume: Volume) -> Bool {
        if let name, volume.name.rawValue != name { return false }
        return tags.allSatisfy { volume.tags[$0.key] == $0.value }
    }
}

/// What the agent's configuration says about volumes.
public struct VolumesConfiguration: Sendable, Hashable {
    /// The most that all volumes together may have of size; nil is without a limit.
    public var maximumTotalSize: ByteSize?

    public init(maximumTotalSize: ByteSize? = nil) { self.maximumTotalSize = maximumTotalSize }
}
