public import AgentCore

/// What the agent says of itself and its host.
public struct AgentInformation: Sendable {
    /// The agent's release.
    public var version: String
    /// The hypervisors that work on this host, the default first.
    public var hypervisors: [HypervisorInformation]
    /// Whether instances can have a network.
    public var providesNetwork: Bool

    public init(version: String, hypervisors: [HypervisorInformation], providesNetwork: Bool) {
        self.version = version
        self.hypervisors = hypervisors
        self.providesNetwork = providesNetwork
    }
}
