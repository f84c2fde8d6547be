import AgentCore
import CNetwork

/// A route of the main table, to one interface.
struct Route: Sendable, Hashable {
    var subnet: IPv4Subnet
    /// nil where the subnet is on the link.
    var gateway: IPv4Address?
    var interface: String
    /// The lowest wins.
    var metric: UInt32
}

/// A route as the kernel has it: interfaces by their numbers.
struct RouteEntry: Sendable, Hashable {
    var subnet: IPv4Subnet
    var gateway: IPv4Address?
    var interface: Int32
    var metric: UInt32

    /// Reads an RTM_NEWROUTE; nil if it is not one of IPv4's main table that leads somewhere.
    ///
    /// Of several ways (RTA_MULTIPATH) it is the first.
    init?(_ reply: NetlinkReply) {
        guard reply.type == UInt16(RTM_NEWROUTE), let header = reply.payload.value(rtmsg.self),
            header.rtm_type == UInt8(RTN_UNICAST)
        else { return nil }
        let attributes = reply.attributes(after: rtmsg.self)
        let table = attributes.number(RTA_TABLE.rawValue, UInt32.self) ?? UInt32(header.rtm_table)
        let destination = attributes[RTA_DST.rawValue].flatMap(IPv4Address.init(networkOrder:))
        guard table == RT_TABLE_MAIN.rawValue,
            let subnet = IPv4Subnet(
                containing: destination ?? IPv4Address(value: 0),
                prefixLength: Int(header.rtm_dst_len)
            )
        else { return nil }
        var way = attributes
        var interface = attributes.number(RTA_OIF.rawValue, Int32.self)
        if interface == nil, let ways = attributes[RTA_MULTIPATH.rawValue], let next = ways.value(rtnexthop.self) {
            interface = next.rtnh_ifindex
            way = NetlinkAttributes(ways.prefix(Int(next.rtnh_len)).dropFirst(MemoryLayout<rtnexthop>.size))
        }
        guard let interface else { return nil }
        self.subnet = subnet
        self.interface = interface
        gateway = way[RTA_GATEWAY.rawValue].flatMap(IPv4Address.init(networkOrder:))
        metric = attributes.number(RTA_PRIORITY.rawValue, UInt32.self) ?? 0
    }
}

extension IPv4Address {
    /// The address whose four bytes came over the wire; nil if there are others than four.
    init?(networkOrder bytes: ArraySlice<UInt8>) {
        guard bytes.count == 4 else { return nil }
        self.init(value: bytes.reduce(0) { $0 << 8 | UInt32($1) })
    }
}
