public import AgentCore

/// No network at all: instances have a loopback interface only, and are reached over the guest channel.
public struct NoNetwork: NetworkBackend {
    public let name = NoNetworkPlugin.name
    public let network: Network? = nil
    public var changes: AsyncStream<Void> { AsyncStream { $0.finish() } }

    public init() {}

    public func reconcile(_ endpoints: [NetworkEndpoint]) async throws {}

    public func attachment(at address: IPv4Address) -> NetworkAttachment {
        NetworkAttachment(network: name, address: address, mac: MACAddress(derivedFrom: address), tap: "")
    }

    public func attach(_ endpoint: NetworkEndpoint) async throws {
        throw AgentError(
            .notSupported,
            code: "network_unavailable",
            "instance '\(endpoint.name)' has an address, but the agent's network backend is '\(name)': start the agent "
                + "with the backend that it was made with, or make the instance anew"
        )
    }

    public func detach(_ endpoint: NetworkEndpoint) async throws {}

    public func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters? { nil }

    public func findings() async -> [HostFinding] { [] }

    public func tearDown() async throws {}
}
