import AgentCore

/// TAP devices that exist already, one for each address: `tap10` for 192.0.2.10.
public struct TapPool: Sendable {
    public var subnet: IPv4Subnet
    public var gateway: IPv4Address

    public init(subnet: IPv4Subnet, gateway: IPv4Address) {
        self.subnet = subnet
        self.gateway = gateway
    }
}

/// Gives each instance the device of its address.
public actor TapPoolNetwork: NetworkBackend {
    public nonisolated let name = "tap-pool"
    public nonisolated let network: Network?
    /// An operator's devices change when the operator changes them.
    public nonisolated var changes: AsyncStream<Void> { AsyncStream { $0.finish() } }
    private let capacity: Int
    private var holders: [String: InstanceID] = [:]

    public init(pool: TapPool) {
        // The gateway has no device.
        capacity = pool.subnet.hosts.count - 1
        network = Network(subnet: pool.subnet, gateway: pool.gateway, capacity: capacity)
    }

    public func reconcile(_ endpoints: [NetworkEndpoint]) async throws {
        holders = [:]
        for endpoint in endpoints { holders[endpoint.attachment.tap] = endpoint.instance }
    }

    public nonisolated func attachment(at address: IPv4Address) -> NetworkAttachment {
        NetworkAttachment(
            network: name,
            address: address,
            mac: MACAddress(derivedFrom: address),
            tap: "tap\(address.value & 0xff)"
        )
    }

    public func attach(_ endpoint: NetworkEndpoint) async throws {
        guard holders[endpoint.attachment.tap].map({ $0 == endpoint.instance }) ?? (holders.count < capacity) else {
            throw AgentError(.quotaExceeded, "all \(capacity) TAP devices of the pool are in use")
        }
        holders[endpoint.attachment.tap] = endpoint.instance
    }

    public func detach(_ endpoint: NetworkEndpoint) async throws { holders[endpoint.attachment.tap] = nil }

    public func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters? {
        guard holders[attachment.tap] != nil else { return nil }
        return NetworkCounters(receivedBytes: 0, receivedPackets: 0, sentBytes: 0, sentPackets: 0)
    }

    public func findings() async -> [HostFinding] { [] }

    public func tearDown() async throws { holders = [:] }
}
