/// What the agent's configuration says about resources.
public struct ResourcesConfiguration: Sendable, Hashable {
    /// The bandwidth to share; nil takes the uplink's speed.
    public var networkLimit: BitRate?
    /// How many times it may be promised.
    public var networkOversubscription: Double

    public init(networkLimit: BitRate?, networkOversubscription: Double) {
        self.networkLimit = networkLimit
        self.networkOversubscription = networkOversubscription
    }
}

/// What the host has and what instances were promised of it.
///
/// Says, and does not enforce: that is done where instances are admitted.
public final class ResourcesService: Sendable {
    private let configuration: ResourcesConfiguration
    private let probe: any HostProbe
    let instances: InstanceDirectory
    let images: ImagesService
    let imageStore: any ImageStore
    let disks: any DiskStore
    let volumes: VolumesService
    let logs: any InstanceLogs

    public init(
        configuration: ResourcesConfiguration,
        probe: any HostProbe,
        instances: InstanceDirectory,
        images: ImagesService,
        imageStore: any ImageStore,
        disks: any DiskStore,
        volumes: VolumesService,
        logs: any InstanceLogs
    ) {
        self.configuration = configuration
        self.probe = probe
        self.instances = instances
        self.images = images
        self.imageStore = imageStore
        self.disks = disks
        self.volumes = volumes
        self.logs = logs
    }

    /// All of it, as it is now.
    ///
    /// - Throws: `unavailable` if the host does not say what it has.
    public func report() async throws -> ResourcesReport {
        let host = try await probe.capacity()
        let allocations = instances.all().map(ResourceAllocation.init)
        var disks: [Digest: Int] = [:]
        for image in images.list() { disks[image.digest] = image.diskSize?.bytes }
        let imageBytes = disks.values.reduce(0, +)
        let overlayBytes = allocations.reduce(0) { $0 + $1.disk.bytes }
        let volumeBytes = volumes.list().reduce(0) { $0 + $1.size.bytes }
        let link = configuration.networkLimit ?? host.uplink
        return ResourcesReport(
            processors: ResourceStatus(
                capacity: host.processors,
                source: .detected,
                allocated: allocations.reduce(0) { $0 + $1.vcpus }
            ),
            memory: ResourceStatus(
                capacity: host.memory.bytes,
                source: .detected,
                allocated: allocations.reduce(0) { $0 + $1.memory.bytes }
            ),
            disk: ResourceStatus(
                capacity: host.disk.bytes,
                source: .detected,
                allocated: imageBytes + overlayBytes + volumeBytes
            ),
            network: ResourceStatus(
                capacity: link?.bytesPerSecond ?? 0,
                source: configuration.networkLimit != nil ? .configured : link != nil ? .detected : .unknown,
                oversubscription: configuration.networkOversubscription,
                allocated: allocations.reduce(0) { sum, allocation in
                    sum + max(allocation.bandwidth.download, allocation.bandwidth.upload)
                }
            ),
            images: ByteSize(bytes: imageBytes),
            overlays: ByteSize(bytes: overlayBytes),
            volumes: ByteSize(bytes: volumeBytes),
            allocations: allocations
        )
    }

    private func max(_ first: BitRate?, _ second: BitRate?) -> Int {
        Swift.max(first?.bytesPerSecond ?? 0, second?.bytesPerSecond ?? 0)
    }
}
