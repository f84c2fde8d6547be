import AgentCore
import CNetwork

/// An IPv4 address of a link.
struct LinkAddress: Sendable, Hashable {
    var address: IPv4Address
    var prefixLength: Int
}

extension LinkAddress {
    /// Reads an RTM_NEWADDR; nil if it is not one of that link.
    init?(_ reply: NetlinkReply, ofLink index: Int32) {
        guard reply.type == UInt16(RTM_NEWADDR), let header = reply.payload.value(ifaddrmsg.self),
            header.ifa_index == UInt32(index)
        else { return nil }
        let attributes = reply.attributes(after: ifaddrmsg.self)
        // Of a point-to-point link IFA_ADDRESS is the other end's (linux/if_addr.h).
        let own = attributes[IFA_LOCAL] ?? attributes[IFA_ADDRESS]
        guard let address = own.flatMap(IPv4Address.init(networkOrder:)) else { return nil }
        self.init(address: address, prefixLength: Int(header.ifa_prefixlen))
    }
}
