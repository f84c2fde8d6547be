/// The chains that netfilter calls, in the tables that iptables-nft shares with everybody: pure.
///
/// On a host where nothing used iptables before they are not there, and would be left behind, empty, when we go. So those
/// that are missing are made here, and noted in the same transaction in a table of the kernel's own, as chains without
/// a hook: that note lives exactly as long as what it is about, survives the agent, and all agents of a host share it.
enum BaseChains {
    /// iptables' own definition of a chain (its source, iptables/nft.c).
    struct Definition: Sendable, Hashable {
        var table: PacketRules.Table
        var name: String
        var type: String
        var hook: String
        var priority: Int

        var note: String { "\(table.rawValue)-\(name)" }
    }

    static let all = [
        Definition(table: .filter, name: "INPUT", type: "filter", hook: "input", priority: 0),
        Definition(table: .filter, name: "FORWARD", type: "filter", hook: "forward", priority: 0),
        Definition(table: .nat, name: "PREROUTING", type: "nat", hook: "prerouting", priority: -100),
        Definition(table: .nat, name: "OUTPUT", type: "nat", hook: "output", priority: -100),
        Definition(table: .nat, name: "POSTROUTING", type: "nat", hook: "postrouting", priority: 100),
    ]

    static let notes = NftListing.Table(family: "ip", name: "hypeman-made")

    private static func table(_ table: PacketRules.Table) -> NftListing.Table {
        NftListing.Table(family: "ip", name: table.rawValue)
    }

    /// What `nft -f` needs to read so that all are there; nil if they are.
    ///
    /// It fails as a whole if somebody else makes one of them at the same time.
    static func creation(from listing: NftListing) -> String? {
        var lines: [String] = []
        for table in PacketRules.Table.allCases where !listing.tables.contains(self.table(table)) {
            lines += ["create table ip \(table.rawValue)", "add chain ip \(notes.name) \(table.rawValue)"]
        }
        for chain in all where listing.chain(chain.name, in: table(chain.table)) == nil {
            lines += [
                "create chain ip \(chain.table.rawValue) \(chain.name) "
                    + "{ type \(chain.type) hook \(chain.hook) priority \(chain.priority); policy accept; }",
                "add chain ip \(notes.name) \(chain.note)",
            ]
        }
        guard !lines.isEmpty else { return nil }
        return (["add table ip \(notes.name)"] + lines).joined(separator: "\n") + "\n"
    }

    /// What `nft -f` needs to read so that those are gone which were made here and which nobody uses; nil if none is.
    static func removal(from listing: NftListing) -> String? {
        guard listing.tables.contains(notes) else { return nil }
        var lines: [String] = []
        var gone: Set<NftListing.Chain> = []
        for definition in all where listing.chain(definition.note, in: notes) != nil {
            if let chain = listing.chain(definition.name, in: table(definition.table)) {
                guard listing.rules(of: chain).isEmpty, chain.policy == "accept" else { continue }
                lines.append("delete chain ip \(definition.table.rawValue) \(definition.name)")
                gone.insert(chain)
            }
            lines.append("delete chain ip \(notes.name) \(definition.note)")
        }
        for table in PacketRules.Table.allCases where listing.chain(table.rawValue, in: notes) != nil {
            let content = listing.chains.filter { $0.family == "ip" && $0.table == table.rawValue }
            guard gone.isSuperset(of: content),
                !listing.sets.contains(where: { $0.family == "ip" && $0.table == table.rawValue })
            else { continue }
            if listing.tables.contains(self.table(table)) { lines.append("delete table ip \(table.rawValue)") }
            lines.append("delete chain ip \(notes.name) \(table.rawValue)")
        }
        // What others use by now is theirs; a note is kept only for another agent, which will come here as well.
        let hasOtherAgents = listing.chains.contains { $0.family == "ip" && $0.name.hasPrefix(PacketRules.prefix) }
        if !hasOtherAgents { lines.append("delete table ip \(notes.name)") }
        return lines.isEmpty ? nil : lines.joined(separator: "\n") + "\n"
    }
}
