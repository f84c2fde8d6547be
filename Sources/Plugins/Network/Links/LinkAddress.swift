import AgentCore
import CNetwork

/// An IPv4 address of a link.
struct LinkAddress: Sendable, Hashable {
    var address: IPv4Address
    var prefixLength: Int
}

extension LinkAddress {
    /// Reads an RTM_NEWADDR, with the number of its link; nil if it is none.
    static func read(_ reply: NetlinkReply) -> (link: Int32, address: LinkAddress)? {
        guard reply.type == UInt16(RTM_NEWADDR), let header = reply.payload.value(ifaddrmsg.self) else { return nil }
        let attributes = reply.attributes(after: ifaddrmsg.self)
        // Of a point-to-point link IFA_ADDRESS is the other end's (linux/if_addr.h).
        let own = attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS]
        guard let address = own.flatMap(IPv4Address.init(networkOrder:)), let link = Int32(exactly: header.ifa_index)
        else { return nil }
        return (link, LinkAddress(address: address, prefixLength: Int(header.ifa_prefixlen)))
    }
}
