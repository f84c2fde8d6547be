import AgentCore
import CNetwork
import Glibc

/// An entry of a bridge's forwarding table.
struct ForwardingEntry: Sendable, Hashable {
    var link: Int32
    var state: UInt16
    var mac: MACAddress

    /// Reads an RTM_NEWNEIGH; nil if it is none with a MAC.
    init?(_ reply: NetlinkReply) {
        guard reply.type == UInt16(RTM_NEWNEIGH), let header = reply.payload.value(ndmsg.self) else { return nil }
        let attributes = reply.attributes(after: ndmsg.self)
        guard let mac = attributes[NDA_LLADDR].flatMap({ MACAddress(bytes: Array($0)) }) else { return nil }
        link = header.ndm_ifindex
        state = header.ndm_state
        self.mac = mac
    }
}

extension NetlinkSocket {
    /// The guests' MACs that were set for a port, without the port's own.
    mutating func forwardingEntries(ofPort index: Int32) throws -> [ForwardingEntry] {
        // The dump takes the bridge and the port to look at from here (rtnl_fdb_dump in the kernel's
        // net/core/rtnetlink.c).
        var header = ifinfomsg()
        header.ifi_family = UInt8(AF_BRIDGE)
        header.ifi_index = index
        let message = NetlinkMessage(RTM_GETNEIGH, header: header, purpose: "list the forwarding entries")
        return try dump(message) { reply in
            ForwardingEntry(reply).flatMap { $0.link == index && $0.state & UInt16(NUD_NOARP) != 0 ? $0 : nil }
        }
    }
}
