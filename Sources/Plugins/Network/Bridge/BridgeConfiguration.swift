public import AgentCore
public import SystemPackage

/// What the bridge network is to be.
public struct BridgeConfiguration: Sendable, Hashable {
    /// The bridge's device, at most 15 bytes.
    public var bridge: String
    public var subnet: IPv4Subnet
    /// The bridge's address.
    public var gateway: IPv4Address
    /// The interface that leads out; nil is that of the default route.
    public var uplink: String?
    /// Who is asked for names that are not instances'.
    public var dnsServers: [IPv4Address]
    /// Whether instances cannot reach one another.
    public var isolated: Bool
    /// For the name service's files; made if it isn't there, only the agent's.
    public var directory: FilePath
    /// The network namespace to work in, by its name under /run/netns; nil is the process's own.
    public var namespace: String?
    /// The group whose members open TAPs, where VMMs are other users than the agent; nil where they aren't.
    public var machineGroup: UInt32?

    public init(
        bridge: String,
        subnet: IPv4Subnet,
        gateway: IPv4Address,
        uplink: String? = nil,
        dnsServers: [IPv4Address],
        isolated: Bool = true,
        directory: FilePath,
        namespace: String? = nil,
        machineGroup: UInt32? = nil
    ) {
        self.bridge = bridge
        self.subnet = subnet
        self.gateway = gateway
        self.uplink = uplink
        self.dnsServers = dnsServers
        self.isolated = isolated
        self.directory = directory
        self.namespace = namespace
        self.machineGroup = machineGroup
    }

    /// What instances' names end in.
    static let domain = "hypeman.internal"
    /// The most ports that a bridge has (BR_MAX_PORTS in the kernel's net/bridge/br_private.h, less port 0).
    static let maximumPorts = 1023
}
