/// What there is of one resource, and how much of it instances were promised.
///
/// Counted in processors, bytes, or for the network bytes a second.
public struct ResourceStatus: Sendable, Hashable {
    /// Where a capacity comes from.
    public enum Source: String, Sendable {
        /// The host says so.
        case detected
        /// The agent's configuration says so.
        case configured
        /// Nobody says, so nothing bounds it; the capacity is 0.
        case unknown
    }

    public var capacity: Int
    public var source: Source
    /// How many times the capacity may be promised.
    public var oversubscription: Double
    public var allocated: Int

    public init(capacity: Int, source: Source, oversubscription: Double = 1, allocated: Int) {
        self.capacity = capacity
        self.source = source
        self.oversubscription = oversubscription
        self.allocated = allocated
    }

    /// How much may be promised.
    public var effectiveLimit: Int {
        let limit = Double(capacity) * oversubscription
        return limit < Double(Int.max) ? Int(limit) : .max
    }

    /// What is left of that; 0 where more was promised.
    public var available: Int { max(0, effectiveLimit - allocated) }
}

/// What one instance was promised.
public struct ResourceAllocation: Sendable, Hashable {
    public var instance: InstanceID
    public var name: InstanceName
    /// 0 while it does not run, as are ``memory`` and ``bandwidth``.
    public var vcpus: Int
    public var memory: ByteSize
    /// Of its overlay, and those over volumes, which stay when it is stopped.
    public var disk: ByteSize
    public var bandwidth: BandwidthLimits

    public init(_ instance: Instance) {
        self.instance = instance.id
        name = instance.name
        let specification = instance.specification
        let isActive = instance.state != .stopped && instance.state != .standby
        vcpus = isActive ? specification.vcpus : 0
        memory = isActive ? specification.memory : ByteSize(bytes: 0)
        disk = ByteSize(
            bytes: specification.volumes.reduce(specification.overlaySize.bytes) { $0 + ($1.overlaySize?.bytes ?? 0) }
        )
        bandwidth = isActive ? specification.bandwidth : BandwidthLimits()
    }
}

/// The host's resources and who has them.
public struct ResourcesReport: Sendable, Hashable {
    public var processors: ResourceStatus
    public var memory: ResourceStatus
    public var disk: ResourceStatus
    /// Of each instance the greater of its two limits counts, since a link carries both directions at once; one without
    /// limits counts nothing.
    public var network: ResourceStatus
    /// The root disks of images, each counted once.
    public var images: ByteSize
    public var overlays: ByteSize
    public var volumes: ByteSize
    public var allocations: [ResourceAllocation]

    public init(
        processors: ResourceStatus,
        memory: ResourceStatus,
        disk: ResourceStatus,
        network: ResourceStatus,
        images: ByteSize,
        overlays: ByteSize,
        volumes: ByteSize = ByteSize(bytes: 0),
        allocations: [ResourceAllocation]
    ) {
        self.processors = processors
        self.memory = memory
        self.disk = disk
        self.network = network
        self.images = images
        self.overlays = overlays
        self.volumes = volumes
        self.allocations = allocations
    }
}
