import AgentCore
import CNetwork
import SystemPackage

/// The elements of nftables' sets in a table that is there already (linux/netfilter/nf_tables.h).
struct NftSets: Sendable {
    /// An element to be in a set, or not.
    struct Change: Sendable, Hashable {
        var set: String
        /// The fields one after the other, each filled up to 4 bytes with zeros; numbers in network order, the name of an
        /// interface as 16 bytes.
        var key: [UInt8]
        var isAddition: Bool

        init(set: String, key: [UInt8], isAddition: Bool) {
            self.set = set
            self.key = key
            self.isAddition = isAddition
        }
    }

    private let links: HostLinks
    private let family: UInt8

    /// - Parameters:
    ///   - network: Where.
    ///   - family: The table's (`NFPROTO_…` in linux/netfilter.h).
    init(network: HostNetwork, family: UInt8 = UInt8(NFPROTO_BRIDGE)) {
        links = HostLinks(network: network)
        self.family = family
    }

    /// Makes changes to a table's sets, all or none.
    ///
    /// To add what is in the set, and to remove what is not, is no error.
    ///
    /// - Throws: `notFound` if there is no such table or set to add to.
    func apply(_ changes: [Change], table: String) async throws {
        guard !changes.isEmpty else { return }
        let family = family
        try await links.perform(.netfilter) { socket in
            var messages = changes.map { NftMessages.change($0, table: table, family: family) }
            // A removal of what isn't there fails the whole transaction (NFT_MSG_DESTROYSETELEM, which does not, came
            // with Linux 6.3); all that do so are known after one attempt, and only what others change meanwhile asks for
            // more.
            for _ in 0..<Self.attempts {
                let failures = try socket.transaction(messages)
                if failures.isEmpty { return }
                for (index, failure) in failures {
                    guard messages[index].isRemoval, failure.errno == .noSuchFileOrDirectory else { throw failure }
                }
                let absent = Set(failures.map(\.index))
                messages = messages.enumerated().filter { !absent.contains($0.offset) }.map(\.element)
                if messages.isEmpty { return }
            }
            throw NetlinkError(
                .interrupted,
                purpose: "change the sets of the table '\(table)'",
                detail: "others change them at the same time"
            )
        }
    }

    private static let attempts = 16
}

extension NetlinkMessage {
    fileprivate var isRemoval: Bool { type & 0xff == UInt16(NFT_MSG_DELSETELEM.rawValue) }
}
