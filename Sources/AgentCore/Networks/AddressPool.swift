/// Which addresses of a network are taken, and which is the next to give: a pure value.
///
/// Addresses are given in turn, so that one that was freed rests until all others had theirs: whatever on the host or
/// outside still remembers its last holder has forgotten it by then.
public struct AddressPool: Sendable, Hashable {
    /// The network that they are of.
    public let network: Network
    /// The last one that was given; the next comes after it.
    public private(set) var last: IPv4Address?
    private var taken: Set<IPv4Address> = []

    /// A pool with nothing taken.
    ///
    /// - Parameters:
    ///   - network: Whose addresses.
    ///   - last: The last one that was given, in an earlier life of the agent; of no effect if it isn't the network's.
    public init(network: Network, last: IPv4Address? = nil) {
        self.network = network
        self.last = last
    }

    /// How many there are to give, whether taken or not.
    public var size: Int { network.subnet.hosts.count - (network.subnet.hosts.contains(network.gateway.value) ? 1 : 0) }

    /// Takes the next free address after the last one given.
    ///
    /// As long as one is free, the search meets each taken one at most once; in a pool that is mostly empty it is one
    /// step.
    ///
    /// - Throws: `quotaExceeded` `subnet_full`.
    public mutating func next() throws(AgentError) -> IPv4Address {
        let hosts = network.subnet.hosts
        guard taken.count < size else { throw full }
        var value = last.map { $0.value &+ 1 } ?? hosts.lowerBound
        while true {
            if !hosts.contains(value) { value = hosts.lowerBound }
            let address = IPv4Address(value: value)
            if address != network.gateway, taken.insert(address).inserted {
                last = address
                return address
            }
            value &+= 1
        }
    }

    /// Takes a certain address, as one that was given earlier.
    ///
    /// - Returns: Whether it was free and is one of the network's.
    @discardableResult
    public mutating func take(_ address: IPv4Address) -> Bool {
        network.offers(address) && taken.insert(address).inserted
    }

    /// Gives an address back; one that was not taken is left alone.
    public mutating func free(_ address: IPv4Address) { taken.remove(address) }

    private var full: AgentError {
        AgentError(
            .quotaExceeded,
            code: "subnet_full",
            "all \(size) addresses of network '\(network.id)' (\(network.subnet)) belong to instances, stopped ones among "
                + "them: delete some, or give the agent a larger SUBNET_CIDR"
        )
    }
}
