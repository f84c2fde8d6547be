public import AgentCore

/// No network at all: instances have a loopback interface only, and are reached over the guest channel.
public struct NoNetwork: NetworkBackend {
    public let name = NoNetworkPlugin.name
    public let providesNetwork = false

    public init() {}

    public func prepareHost() async throws {}

    public func attach(_ instance: InstanceID, previous: NetworkAttachment?) async throws -> NetworkAttachment? { nil }

    public func detach(_ instance: InstanceID, _ attachment: NetworkAttachment) async throws {}
}
