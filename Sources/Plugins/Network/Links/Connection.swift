import AgentCore
import CNetwork
import Glibc

/// A tracked connection, as far as it takes to find and delete it.
///
/// Netfilter's numbers are big-endian (linux/netfilter/nfnetlink_conntrack.h).
struct Connection: Sendable {
    /// One direction of it.
    struct Tuple: Sendable {
        var source: IPv4Address
        var destination: IPv4Address
        var transport: UInt8?
        var destinationPort: UInt16?

        init?(_ attributes: NetlinkAttributes) {
            guard let addresses = attributes.nested(CTA_TUPLE_IP.rawValue),
                let source = addresses[CTA_IP_V4_SRC.rawValue].flatMap(IPv4Address.init(networkOrder:)),
                let destination = addresses[CTA_IP_V4_DST.rawValue].flatMap(IPv4Address.init(networkOrder:))
            else { return nil }
            self.source = source
            self.destination = destination
            let transport = attributes.nested(CTA_TUPLE_PROTO.rawValue)
            self.transport = transport?.number(CTA_PROTO_NUM.rawValue)
            destinationPort = transport?.number(CTA_PROTO_DST_PORT.rawValue).map(UInt16.init(bigEndian:))
        }

        func involves(_ address: IPv4Address) -> Bool { source == address || destination == address }
    }

    var original: Tuple
    var reply: Tuple
    /// What names it to the kernel: these attributes, as they came.
    fileprivate var key: [(type: UInt32, content: ArraySlice<UInt8>)]

    /// Reads an IPCTNL_MSG_CT_NEW; nil if it is none of IPv4.
    init?(_ message: NetlinkReply) {
        let attributes = message.attributes(after: nfgenmsg.self)
        guard let original = attributes.nested(CTA_TUPLE_ORIG.rawValue).flatMap(Tuple.init),
            let reply = attributes.nested(CTA_TUPLE_REPLY.rawValue).flatMap(Tuple.init)
        else { return nil }
        self.original = original
        self.reply = reply
        // The id tells it from one that has been tracked anew under the same addresses.
        key = [CTA_TUPLE_ORIG.rawValue, CTA_ZONE.rawValue, CTA_ID.rawValue].compactMap { type in
            attributes[type].map { (type, $0) }
        }
    }

    /// Forgets it.
    var deletion: NetlinkMessage {
        var message = Self.message(IPCTNL_MSG_CT_DELETE, purpose: "forget a connection of \(original.source)")
        for (type, content) in key {
            let nested = type == CTA_TUPLE_ORIG.rawValue ? UInt32(NLA_F_NESTED) : 0
            message.put(type | nested, bytes: content)
        }
        return message
    }

    /// Asks for all.
    static var list: NetlinkMessage { message(IPCTNL_MSG_CT_GET, purpose: "list the tracked connections") }

    private static func message(_ type: cntl_msg_types, purpose: String) -> NetlinkMessage {
        var header = nfgenmsg()
        header.nfgen_family = UInt8(AF_INET)
        header.version = UInt8(NFNETLINK_V0)
        return NetlinkMessage(UInt32(NFNL_SUBSYS_CTNETLINK) << 8 | type.rawValue, header: header, purpose: purpose)
    }
}
