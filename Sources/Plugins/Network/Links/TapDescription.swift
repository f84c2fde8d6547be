import AgentCore
import Glibc

/// What an instance's TAP is to be.
struct TapDescription: Sendable, Hashable {
    /// At most 15 bytes.
    var name: String
    /// Marks it, and the device for its upload limit, as ours.
    var alias: String
    /// The number of the bridge (``Link/index``) that it is a port of.
    var bridge: Int32
    /// The user that the VMM runs as; nil leaves that to the group.
    var owner: uid_t?
    /// A group that the VMM must be in as well, if there is one.
    var group: gid_t?
    var mtu: Int
    /// The guest's.
    var mac: MACAddress
    /// The guest's.
    var address: IPv4Address
    /// Whether frames go to and from the host alone, not to other isolated ports.
    var isolated: Bool
    /// The device that the upload is led through where it is limited, at most 15 bytes.
    var ifb: String
    var limits: BandwidthLimits

    init(
        name: String,
        alias: String,
        bridge: Int32,
        owner: uid_t?,
        group: gid_t? = nil,
        mtu: Int = Network.defaultMTU,
        mac: MACAddress,
        address: IPv4Address,
        isolated: Bool = true,
        ifb: String,
        limits: BandwidthLimits = BandwidthLimits()
    ) {
        self.name = name
        self.alias = alias
        self.bridge = bridge
        self.owner = owner
        self.group = group
        self.mtu = mtu
        self.mac = mac
        self.address = address
        self.isolated = isolated
        self.ifb = ifb
        self.limits = limits
    }
}
