import CNetwork
import SystemPackage

/// A message from the kernel.
struct NetlinkReply: Sendable {
    let type: UInt16
    let flags: UInt16
    let sequence: UInt32
    /// All behind the netlink header.
    let payload: ArraySlice<UInt8>

    private static let headerSize = MemoryLayout<nlmsghdr>.size

    /// The messages of one datagram.
    ///
    /// - Throws: ``NetlinkError`` if it does not divide into messages.
    static func messages(in datagram: [UInt8]) throws -> [NetlinkReply] {
        var replies: [NetlinkReply] = []
        var rest = datagram[...]
        while !rest.isEmpty {
            guard let header = rest.value(nlmsghdr.self), header.nlmsg_len >= UInt32(headerSize),
                Int(header.nlmsg_len) <= rest.count
            else { throw NetlinkError(.badMessage, purpose: "read the kernel's answer") }
            replies.append(
                NetlinkReply(
                    type: header.nlmsg_type,
                    flags: header.nlmsg_flags,
                    sequence: header.nlmsg_seq,
                    payload: rest.prefix(Int(header.nlmsg_len)).dropFirst(headerSize)
                )
            )
            let alignment = NetlinkMessage.alignment
            rest = rest.dropFirst((Int(header.nlmsg_len) + alignment - 1) & ~(alignment - 1))
        }
        return replies
    }

    /// The attributes behind the structure that this type of message begins with.
    func attributes<Header: BitwiseCopyable>(after _: Header.Type) -> NetlinkAttributes {
        let size = MemoryLayout<Header>.size
        let alignment = NetlinkMessage.alignment
        return NetlinkAttributes(payload.dropFirst((size + alignment - 1) & ~(alignment - 1)))
    }

    /// What an NLMSG_ERROR or NLMSG_DONE says; nil is an acknowledgement.
    ///
    /// With NETLINK_CAP_ACK and NETLINK_EXT_ACK set, as the socket does, the failed message's header alone is repeated
    /// and attributes follow (struct nlmsgerr in linux/netlink.h); an older kernel repeats the message, which the
    /// flags tell.
    func failure(purpose: String) -> NetlinkError? {
        guard let code = payload.number(Int32.self) else { return NetlinkError(.badMessage, purpose: purpose) }
        guard code != 0 else { return nil }
        let errno = Errno(rawValue: code == .min ? code : abs(code))
        var detail: String?
        if flags & UInt16(NLM_F_ACK_TLVS) != 0 {
            // The end of a dump repeats nothing.
            var size = MemoryLayout<Int32>.size + (type == UInt16(NLMSG_DONE) ? 0 : Self.headerSize)
            if flags & UInt16(NLM_F_CAPPED) == 0, type == UInt16(NLMSG_ERROR),
                let length = payload.dropFirst(4).number(UInt32.self)
            {
                size = MemoryLayout<Int32>.size + max(Self.headerSize, Int(length))
            }
            detail = NetlinkAttributes(payload.dropFirst(size)).text(NLMSGERR_ATTR_MSG.rawValue)
        }
        return NetlinkError(errno, purpose: purpose, detail: detail)
    }
}
