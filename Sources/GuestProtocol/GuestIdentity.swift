/// Who a guest is from now on, whose memory is a copy of another guest's.
///
/// It may be told more than once, and is the same then but for the time, the random numbers and the machine id.
public struct GuestIdentity: Codable, Sendable, Hashable {
    /// The time, and random numbers that the two do not share.
    public var news: GuestWakeUp
    /// The instance's id.
    public var instance: String
    /// The host name to set.
    public var hostname: String
    /// 32 hexadecimal digits in lower case (machine-id(5)), for an image that has such an id.
    public var machineID: String
    /// The MAC address that the card has in the memory; nil where there is no network.
    public var formerMAC: String?
    /// The network, with the card's address from now on; nil where there is none.
    public var network: GuestConfiguration.Network?

    public init(
        news: GuestWakeUp,
        instance: String,
        hostname: String,
        machineID: String,
        formerMAC: String?,
        network: GuestConfiguration.Network?
    ) {
        self.news = news
        self.instance = instance
        self.hostname = hostname
        self.machineID = machineID
        self.formerMAC = formerMAC
        self.network = network
    }
}
