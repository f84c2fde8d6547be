/// Who a guest takes itself for whose memory is a copy of another's.
public struct FormerIdentity: Sendable, Hashable, Codable {
    /// The instance whose guest it was.
    public var instance: InstanceID
    /// The address of the card in that memory; nil without a network.
    public var mac: MACAddress?

    public init(instance: InstanceID, mac: MACAddress?) {
        self.instance = instance
        self.mac = mac
    }
}
