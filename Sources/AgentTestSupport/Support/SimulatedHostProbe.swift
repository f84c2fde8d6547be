public import AgentCore

/// A host of 4 processors, 8 GiB of memory and 100 GiB of disk.
public struct SimulatedHostProbe: HostProbe {
    private let uplink: BitRate?

    /// - Parameter uplink: The speed of its uplink, if that says one.
    public init(uplink: BitRate? = nil) { self.uplink = uplink }

    public func capacity() async throws -> HostCapacity {
        HostCapacity(processors: 4, memory: .gibibytes(8), disk: .gibibytes(100), uplink: uplink)
    }
}

extension AgentWorld {
    /// What is said of the resources of a host that has this world.
    ///
    /// - Parameters:
    ///   - uplink: The speed of the host's uplink.
    ///   - limit: The bandwidth that is configured.
    ///   - oversubscription: How many times it may be promised.
    /// - Returns: The service.
    public func resources(
        uplink: BitRate? = nil,
        limit: BitRate? = nil,
        oversubscription: Double = 1
    ) -> ResourcesService {
        ResourcesService(
            configuration: ResourcesConfiguration(networkLimit: limit, networkOversubscription: oversubscription),
            probe: SimulatedHostProbe(uplink: uplink),
            instances: directory,
            images: images,
            imageStore: pictures,
            disks: disks,
            volumes: volumes,
            logs: logs
        )
    }
}
