import AgentCore
import CNetwork
import Glibc

/// A network device of the host, as it is now.
struct Link: Sendable, Hashable {
    var index: Int32
    var name: String
    /// `bridge`, `tun`, `ifb`, `veth`, …; nil for hardware and loopback.
    var kind: String?
    /// What `ip link set alias` sets, and this plugin to mark what it made.
    var alias: String?
    /// nil for one that has none of six bytes.
    var mac: MACAddress?
    var mtu: Int
    /// The bridge that it is a port of.
    var master: Int32?
    var isUp: Bool
    /// Whether there is something at the other end: of a TAP, a process that has it open (drivers/net/tun.c in the
    /// kernel).
    var hasCarrier: Bool
    /// Of a TAP: who may open it, where that is not everybody with CAP_NET_ADMIN alone.
    var owner: uid_t?
    var group: gid_t?
    /// From the host's point of view.
    var statistics: LinkStatistics
}

/// What went over a link since it was made.
struct LinkStatistics: Sendable, Hashable {
    var receivedBytes: UInt64 = 0
    var receivedPackets: UInt64 = 0
    var sentBytes: UInt64 = 0
    var sentPackets: UInt64 = 0
}

extension Link {
    /// Reads an RTM_NEWLINK; nil if it is none.
    init?(_ reply: NetlinkReply) {
        guard reply.type == UInt16(RTM_NEWLINK), let header = reply.payload.value(ifinfomsg.self) else { return nil }
        let attributes = reply.attributes(after: ifinfomsg.self)
        guard let name = attributes.text(IFLA_IFNAME) else { return nil }
        let information = attributes.nested(IFLA_LINKINFO)
        let kind = information?.text(IFLA_INFO_KIND)
        let tun = kind == "tun" ? information?.nested(IFLA_INFO_DATA) : nil
        self.init(
            index: header.ifi_index,
            name: name,
            kind: kind,
            alias: attributes.text(IFLA_IFALIAS),
            mac: attributes[IFLA_ADDRESS].flatMap { MACAddress(bytes: Array($0)) },
            mtu: Int(attributes.number(IFLA_MTU, UInt32.self) ?? 0),
            master: attributes.number(IFLA_MASTER, Int32.self),
            isUp: header.ifi_flags & UInt32(IFF_UP) != 0,
            hasCarrier: attributes.number(IFLA_CARRIER, UInt8.self) == 1,
            owner: tun?.number(IFLA_TUN_OWNER, UInt32.self),
            group: tun?.number(IFLA_TUN_GROUP, UInt32.self),
            statistics: attributes[IFLA_STATS64]?.value(rtnl_link_stats64.self).map(LinkStatistics.init)
                ?? LinkStatistics()
        )
    }
}

extension LinkStatistics {
    init(_ statistics: rtnl_link_stats64) {
        self.init(
            receivedBytes: statistics.rx_bytes,
            receivedPackets: statistics.rx_packets,
            sentBytes: statistics.tx_bytes,
            sentPackets: statistics.tx_packets
        )
    }
}
