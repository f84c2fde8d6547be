public import struct Foundation.Date

/// The body of `GET /system/df`: sizes are bytes of the host's disk.
public struct DiskUsageResponse: Codable, Sendable, Hashable {
    /// One kind of thing.
    public struct Category: Codable, Sendable, Hashable {
        public var count: Int
        public var active: Int
        public var size: Int
        public var reclaimable: Int

        enum CodingKeys: String, CodingKey {
            case count, active
            case size = "size_bytes"
            case reclaimable = "reclaimable_bytes"
        }

        public init(count: Int, active: Int, size: Int, reclaimable: Int) {
            self.count = count
            self.active = active
            self.size = size
            self.reclaimable = reclaimable
        }
    }

    /// One name of an image.
    public struct ImageUsage: Codable, Sendable, Hashable {
        public var name: String
        public var digest: String
        public var createdAt: Date
        public var size: Int
        public var shared: Int
        public var unique: Int
        public var instances: Int

        enum CodingKeys: String, CodingKey {
            case name, digest, instances
            case createdAt = "created_at"
            case size = "size_bytes"
            case shared = "shared_bytes"
            case unique = "unique_bytes"
        }

        public init(
            name: String,
            digest: String,
            createdAt: Date,
            size: Int,
            shared: Int,
            unique: Int,
            instances: Int
        ) {
            self.name = name
            self.digest = digest
            self.createdAt = createdAt
            self.size = size
            self.shared = shared
            self.unique = unique
            self.instances = instances
        }
    }

    /// One instance.
    public struct InstanceUsage: Codable, Sendable, Hashable {
        public var id: String
        public var name: String
        public var state: String
        public var overlay: Int
        public var logs: Int

        enum CodingKeys: String, CodingKey {
            case state
            case id = "instance_id"
            case name = "instance_name"
            case overlay = "overlay_bytes"
            case logs = "log_bytes"
        }

        public init(id: String, name: String, state: String, overlay: Int, logs: Int) {
            self.id = id
            self.name = name
            self.state = state
            self.overlay = overlay
            self.logs = logs
        }
    }

    /// One volume.
    public struct VolumeUsage: Codable, Sendable, Hashable {
        public var id: String
        public var name: String
        public var size: Int
        public var used: Int
        public var instances: Int

        enum CodingKeys: String, CodingKey {
            case instances
            case id = "volume_id"
            case name = "volume_name"
            case size = "size_bytes"
            case used = "used_bytes"
        }

        public init(id: String, name: String, size: Int, used: Int, instances: Int) {
            self.id = id
            self.name = name
            self.size = size
            self.used = used
            self.instances = instances
        }
    }

    public var images: Category
    public var downloads: Category
    public var overlays: Category
    public var volumes: Category
    public var logs: Category
    /// The most that images and downloads may take; nil is without a limit.
    public var imageLimit: Int?
    public var imageList: [ImageUsage]
    public var instanceList: [InstanceUsage]
    public var volumeList: [VolumeUsage]

    enum CodingKeys: String, CodingKey {
        case images, downloads, overlays, volumes, logs
        case imageLimit = "image_limit_bytes"
        case imageList = "image_list"
        case instanceList = "instance_list"
        case volumeList = "volume_list"
    }

    public init(
        images: Category,
        downloads: Category,
        overlays: Category,
        volumes: Category,
        logs: Category,
        imageLimit: Int?,
        imageList: [ImageUsage],
        instanceList: [InstanceUsage],
        volumeList: [VolumeUsage]
    ) {
        self.images = images
        self.downloads = downloads
        self.overlays = overlays
        self.volumes = volumes
        self.logs = logs
        self.imageLimit = imageLimit
        self.imageList = imageList
        self.instanceList = instanceList
        self.volumeList = volumeList
    }
}

/// The body of the answer to `POST /images/prune`.
public struct PruneImagesResponse: Codable, Sendable, Hashable {
    /// An image that was removed, or would be.
    public struct Pruned: Codable, Sendable, Hashable {
        public var name: String
        public var digest: String
        public var status: String

        public init(name: String, digest: String, status: String) {
            self.name = name
            self.digest = digest
            self.status = status
        }
    }

    public var dryRun: Bool
    public var images: [Pruned]
    public var reclaimed: Int

    enum CodingKeys: String, CodingKey {
        case images
        case dryRun = "dry_run"
        case reclaimed = "reclaimed_bytes"
    }

    public init(dryRun: Bool, images: [Pruned], reclaimed: Int) {
        self.dryRun = dryRun
        self.images = images
        self.reclaimed = reclaimed
    }
}
