/// An instance's place on a network.
public struct NetworkAttachment: Sendable, Hashable, Codable {
    /// Of the network, `default` where there is one.
    public var network: String
    /// Lower case, with colons.
    public var mac: String
    /// IPv4, dotted.
    public var address: String
    public var prefixLength: Int
    public var gateway: String
    public var nameServers: [String]
    public var mtu: Int
    /// The TAP device on the host; nil while it is not attached.
    public var tap: String?

    public init(
        network: String,
        mac: String,
        address: String,
        prefixLength: Int,
        gateway: String,
        nameServers: [String],
        mtu: Int,
        tap: String?
    ) {
        self.network = network
        self.mac = mac
        self.address = address
        self.prefixLength = prefixLength
        self.gateway = gateway
        self.nameServers = nameServers
        self.mtu = mtu
        self.tap = tap
    }
}

/// Connects instances to the outside.
public protocol NetworkBackend: Sendable {
    /// As in the configuration.
    var name: String { get }

    /// Whether instances can have a network at all; an instance that asks for one is refused where not.
    var providesNetwork: Bool { get }

    /// Makes what all instances share. Idempotent; called at start and after faults.
    func prepareHost() async throws

    /// Connects an instance.
    ///
    /// Idempotent: an instance that is attached gets the same address, MAC and device again.
    ///
    /// - Parameters:
    ///   - instance: Which one.
    ///   - previous: What it had before; address and MAC are kept.
    /// - Returns: The attachment, with its device; nil where the backend provides no network.
    /// - Throws: `quotaExceeded` if there is no address left.
    func attach(_ instance: InstanceID, previous: NetworkAttachment?) async throws -> NetworkAttachment?

    /// Removes an instance's device and rules; its address stays its own. Idempotent.
    func detach(_ instance: InstanceID, _ attachment: NetworkAttachment) async throws
}
