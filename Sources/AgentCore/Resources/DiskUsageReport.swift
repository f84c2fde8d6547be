public import struct Foundation.Date

/// What the agent takes of the host's disk, measured in blocks of files, and how much of it could go.
public struct DiskUsageReport: Sendable, Hashable {
    /// One kind of thing.
    public struct Category: Sendable, Hashable {
        public var count: Int
        /// How many are in use.
        public var active: Int
        public var size: ByteSize
        /// Of those that are not.
        public var reclaimable: ByteSize

        public init(
            count: Int = 0,
            active: Int = 0,
            size: ByteSize = ByteSize(bytes: 0),
            reclaimable: ByteSize = ByteSize(bytes: 0)
        ) {
            self.count = count
            self.active = active
            self.size = size
            self.reclaimable = reclaimable
        }

        mutating func add(_ size: ByteSize, isActive: Bool) {
            count += 1
            active += isActive ? 1 : 0
            self.size.bytes += size.bytes
            reclaimable.bytes += isActive ? 0 : size.bytes
        }
    }

    /// One name of an image.
    public struct ImageUsage: Sendable, Hashable {
        public var name: String
        public var digest: Digest
        public var createdAt: Date
        /// Of its root disk.
        public var size: ByteSize
        /// What of it would stay if this name went, since another has the same root disk.
        public var shared: ByteSize
        /// How many instances were made from it.
        public var instances: Int

        /// What only this name has.
        public var unique: ByteSize { ByteSize(bytes: size.bytes - shared.bytes) }

        public init(name: String, digest: Digest, createdAt: Date, size: ByteSize, shared: ByteSize, instances: Int) {
            self.name = name
            self.digest = digest
            self.createdAt = createdAt
            self.size = size
            self.shared = shared
            self.instances = instances
        }
    }

    /// One instance.
    public struct InstanceUsage: Sendable, Hashable {
        public var id: InstanceID
        public var name: InstanceName
        public var state: InstanceState
        public var overlay: ByteSize
        public var logs: ByteSize

        public init(id: InstanceID, name: InstanceName, state: InstanceState, overlay: ByteSize, logs: ByteSize) {
            self.id = id
            self.name = name
            self.state = state
            self.overlay = overlay
            self.logs = logs
        }
    }

    /// One volume.
    public struct VolumeUsage: Sendable, Hashable {
        public var id: VolumeID
        public var name: VolumeName
        /// What it can hold.
        public var size: ByteSize
        /// What it takes of the host's disk.
        public var used: ByteSize
        /// How many instances have it.
        public var instances: Int

        public init(id: VolumeID, name: VolumeName, size: ByteSize, used: ByteSize, instances: Int) {
            self.id = id
            self.name = name
            self.size = size
            self.used = used
            self.instances = instances
        }
    }

    /// Root disks; active are those that an instance was made from, in whatever state it is.
    public var images = Category()
    /// Blobs that are no root disk, and what is being received or written; reclaimable is what nobody needs.
    public var downloads = Category()
    /// Active are those of instances that are not stopped.
    public var overlays = Category()
    /// Active are those that an instance has, in whatever state it is.
    public var volumes = Category()
    /// As ``overlays``, an instance each.
    public var logs = Category()
    /// The most that images and downloads may take; nil is without a limit.
    public var imageLimit: ByteSize?
    /// By name.
    public var imageList: [ImageUsage] = []
    /// Oldest first.
    public var instanceList: [InstanceUsage] = []
    /// Oldest first.
    public var volumeList: [VolumeUsage] = []

    public init() {}
}
