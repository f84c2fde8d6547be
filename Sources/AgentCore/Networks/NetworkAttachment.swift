/// An instance's place on a network: kept from its creation to its deletion, also while it is stopped.
public struct NetworkAttachment: Sendable, Hashable, Codable {
    /// Of the network, as ``Network/id``.
    public var network: String
    public var address: IPv4Address
    public var mac: MACAddress
    /// The TAP device on the host that the VMM opens: at most 15 bytes, as the kernel's IFNAMSIZ demands.
    public var tap: String

    public init(network: String, address: IPv4Address, mac: MACAddress, tap: String) {
        self.network = network
        self.address = address
        self.mac = mac
        self.tap = tap
    }
}

/// A network that instances can be on.
public struct Network: Sendable, Hashable, Codable {
    /// Of Ethernet (RFC 894).
    public static let defaultMTU = 1500

    /// An agent has one so far.
    public static let defaultID = "default"

    /// As ``defaultID``, and what attachments name.
    public var id: String
    public var subnet: IPv4Subnet
    /// The host's own address, where instances find their gateway and their name server.
    public var gateway: IPv4Address
    /// Whether instances cannot reach one another.
    public var isolated: Bool
    /// In bytes.
    public var mtu: Int
    /// Instances find each other as `<name>.<domain>`, unless isolated only by name.
    public var domain: String
    /// The most instances that can be attached at a time.
    public var capacity: Int

    public init(
        id: String = Network.defaultID,
        subnet: IPv4Subnet,
        gateway: IPv4Address,
        isolated: Bool = true,
        mtu: Int = Network.defaultMTU,
        domain: String = "hypeman.internal",
        capacity: Int
    ) {
        self.id = id
        self.subnet = subnet
        self.gateway = gateway
        self.isolated = isolated
        self.mtu = mtu
        self.domain = domain
        self.capacity = capacity
    }

    /// Whether an address is one that its instances can have.
    public func offers(_ address: IPv4Address) -> Bool {
        subnet.hosts.contains(address.value) && address != gateway
    }
}

/// One instance's connection to its network, with all that the backend must see to.
public struct NetworkEndpoint: Sendable, Hashable {
    public var instance: InstanceID
    /// What it is called in the network's domain.
    public var name: InstanceName
    public var attachment: NetworkAttachment
    public var limits: BandwidthLimits
    public var publishedPorts: [PublishedPort]

    public init(
        instance: InstanceID,
        name: InstanceName,
        attachment: NetworkAttachment,
        limits: BandwidthLimits = BandwidthLimits(),
        publishedPorts: [PublishedPort] = []
    ) {
        self.instance = instance
        self.name = name
        self.attachment = attachment
        self.limits = limits
        self.publishedPorts = publishedPorts
    }
}

/// What went over an instance's card since it was attached, from the instance's point of view.
public struct NetworkCounters: Sendable, Hashable {
    public var receivedBytes: UInt64
    public var receivedPackets: UInt64
    public var sentBytes: UInt64
    public var sentPackets: UInt64

    public init(receivedBytes: UInt64, receivedPackets: UInt64, sentBytes: UInt64, sentPackets: UInt64) {
        self.receivedBytes = receivedBytes
        self.receivedPackets = receivedPackets
        self.sentBytes = sentBytes
        self.sentPackets = sentPackets
    }
}
