import CNetwork
import SystemPackage

/// Requests about the elements of nftables' sets (linux/netfilter/nf_tables.h).
enum NftMessages {
    static func change(_ change: NftSets.Change, table: String, family: UInt8) -> NetlinkMessage {
        var message = message(
            change.isAddition ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
            flags: change.isAddition ? NLM_F_CREATE : 0,
            family: family,
            purpose: "\(change.isAddition ? "add to" : "remove from") the set '\(change.set)' of the table '\(table)'"
        )
        message.put(NFTA_SET_ELEM_LIST_TABLE.rawValue, text: table)
        message.put(NFTA_SET_ELEM_LIST_SET.rawValue, text: change.set)
        message.nest(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue) { elements in
            elements.nest(NFTA_LIST_ELEM.rawValue) { element in
                element.nest(NFTA_SET_ELEM_KEY.rawValue) { $0.put(NFTA_DATA_VALUE.rawValue, bytes: change.key) }
            }
        }
        return message
    }

    /// Asks for the number that grows by one with each transaction that changes a rule, set or chain of the namespace.
    static var generation: NetlinkMessage {
        message(NFT_MSG_GETGEN, flags: 0, family: 0, purpose: "ask for the generation of the rules")
    }

    private static func message(
        _ type: nf_tables_msg_types,
        flags: Int32,
        family: UInt8,
        purpose: String
    ) -> NetlinkMessage {
        NetlinkMessage(
            UInt32(NFNL_SUBSYS_NFTABLES) << 8 | type.rawValue,
            flags: flags,
            header: header(family: family, resource: 0),
            purpose: purpose
        )
    }

    /// The beginning or the end of a transaction (linux/netfilter/nfnetlink.h).
    static func batch(_ type: Int32) -> NetlinkMessage {
        NetlinkMessage(
            type,
            header: header(family: 0, resource: UInt16(NFNL_SUBSYS_NFTABLES)),
            purpose: "change nftables' sets"
        )
    }

    private static func header(family: UInt8, resource: UInt16) -> nfgenmsg {
        var header = nfgenmsg()
        header.nfgen_family = family
        header.version = UInt8(NFNETLINK_V0)
        header.res_id = resource.bigEndian
        return header
    }
}

extension HostLinks {
    /// Tells whether anybody changed nftables' rules, iptables' among them, since it was asked last.
    func generationOfRules() async throws -> UInt32 {
        try await perform(.netfilter) { socket in
            let reply = try socket.get(NftMessages.generation)
            guard let value = reply?.attributes(after: nfgenmsg.self).number(NFTA_GEN_ID.rawValue, UInt32.self) else {
                throw NetlinkError(.badMessage, purpose: NftMessages.generation.purpose)
            }
            return UInt32(bigEndian: value)
        }
    }
}

extension NetlinkSocket {
    /// Sends messages to nftables as one transaction: if one fails, none is carried out.
    ///
    /// - Returns: Which of them failed and why; empty if all was done.
    /// - Throws: ``NetlinkError`` if the transaction as a whole failed.
    mutating func transaction(_ messages: [NetlinkMessage]) throws -> [(index: Int, error: NetlinkError)] {
        guard !messages.isEmpty else { return [] }
        let begin = nextSequence()
        var datagram = NftMessages.batch(NFNL_MSG_BATCH_BEGIN).encoded(sequence: begin, adding: NLM_F_REQUEST)
        var last = begin
        for (index, message) in messages.enumerated() {
            last = nextSequence()
            // Failures are told in any case; one acknowledgement, of the last, says that all were looked at, and keeps the
            // answers few.
            let isLast = index == messages.count - 1
            datagram += message.encoded(sequence: last, adding: NLM_F_REQUEST | (isLast ? NLM_F_ACK : 0))
        }
        datagram += NftMessages.batch(NFNL_MSG_BATCH_END).encoded(sequence: nextSequence(), adding: NLM_F_REQUEST)
        let purpose = messages[0].purpose
        try send(datagram, purpose: purpose)
        var failures: [(index: Int, error: NetlinkError)] = []
        while true {
            for reply in try receive(purpose: purpose) where reply.type == UInt16(NLMSG_ERROR) {
                // Whatever concerns the whole is said of its beginning (nfnetlink_rcv_batch in the kernel's
                // net/netfilter/nfnetlink.c).
                if reply.sequence == begin, let failure = reply.failure(purpose: purpose) { throw failure }
                let index = Int(reply.sequence) - Int(begin) - 1
                guard messages.indices.contains(index) else { continue }
                if let failure = reply.failure(purpose: messages[index].purpose) { failures.append((index, failure)) }
                if reply.sequence == last { return failures }
            }
        }
    }
}
