/// The body of `GET /resources`.
public struct ResourcesResponse: Codable, Sendable, Hashable {
    /// One resource: processors, bytes, or for the network bytes a second.
    public struct Status: Codable, Sendable, Hashable {
        /// `cpu`, `memory`, `disk` or `network`.
        public var type: String
        public var capacity: Int
        public var effectiveLimit: Int
        public var allocated: Int
        public var available: Int
        public var oversubscription: Double
        /// `detected`, `configured` or `unknown`.
        public var source: String?

        enum CodingKeys: String, CodingKey {
            case type, capacity, allocated, available, source
            case effectiveLimit = "effective_limit"
            case oversubscription = "oversub_ratio"
        }

        public init(
            type: String,
            capacity: Int,
            effectiveLimit: Int,
            allocated: Int,
            available: Int,
            oversubscription: Double,
            source: String?
        ) {
            self.type = type
            self.capacity = capacity
            self.effectiveLimit = effectiveLimit
            self.allocated = allocated
            self.available = available
            self.oversubscription = oversubscription
            self.source = source
        }
    }

    /// What disks were promised for.
    public struct DiskBreakdown: Codable, Sendable, Hashable {
        public var images: Int
        public var overlays: Int
        /// Layers are not kept once an image was made of them.
        public var ociCache = 0
        public var volumes: Int

        enum CodingKeys: String, CodingKey {
            case images = "images_bytes"
            case overlays = "overlays_bytes"
            case ociCache = "oci_cache_bytes"
            case volumes = "volumes_bytes"
        }

        public init(images: Int, overlays: Int, volumes: Int) {
            self.images = images
            self.overlays = overlays
            self.volumes = volumes
        }
    }

    /// What one instance was promised.
    public struct Allocation: Codable, Sendable, Hashable {
        public var instanceID: String
        public var instanceName: String
        public var cpu: Int
        public var memory: Int
        public var disk: Int
        /// In bytes a second; nil is without a limit.
        public var download: Int?
        public var upload: Int?

        enum CodingKeys: String, CodingKey {
            case cpu
            case instanceID = "instance_id"
            case instanceName = "instance_name"
            case memory = "memory_bytes"
            case disk = "disk_bytes"
            case download = "network_download_bps"
            case upload = "network_upload_bps"
        }

        public init(instanceID: String, instanceName: String, cpu: Int, memory: Int, disk: Int) {
            self.instanceID = instanceID
            self.instanceName = instanceName
            self.cpu = cpu
            self.memory = memory
            self.disk = disk
        }
    }

    public var cpu: Status
    public var memory: Status
    public var disk: Status
    public var network: Status
    public var diskBreakdown: DiskBreakdown
    public var allocations: [Allocation]

    enum CodingKeys: String, CodingKey {
        case cpu, memory, disk, network, allocations
        case diskBreakdown = "disk_breakdown"
    }

    public init(
        cpu: Status,
        memory: Status,
        disk: Status,
        network: Status,
        diskBreakdown: DiskBreakdown,
        allocations: [Allocation]
    ) {
        self.cpu = cpu
        self.memory = memory
        self.disk = disk
        self.network = network
        self.diskBreakdown = diskBreakdown
        self.allocations = allocations
    }
}
