import AgentCore

extension PacketRules {
    /// What `iptables-restore --noflush` needs to read to make a host have all of it; nil if it has.
    ///
    /// Each table is changed in one transaction. Only our own chains are emptied, and only our own jumps are moved.
    func restoration(from saved: SavedRules, forwards: [PortForward]) -> String? {
        var text = ""
        for table in Table.allCases {
            let chains = Chain.allCases.filter { $0.table == table }
            let wrong = chains.filter { !isRight($0, in: saved, forwards: forwards) }
            var lines = wrong.map { ":\(name($0)) - [0:0]" }
            for chain in wrong {
                lines += rules(of: chain, forwards: forwards).map { "-A \(name(chain)) \($0)" }
            }
            for chain in chains where !hasRightJump(to: chain, in: saved) {
                guard let caller = chain.caller?.chain, let jump = jump(to: chain) else { continue }
                lines += self.jumps(to: chain, in: saved).map { "-D \(caller) \($0)" }
                lines.append("-I \(caller) 1 \(jump)")
            }
            guard !lines.isEmpty else { continue }
            text += "*\(table.rawValue)\n" + lines.joined(separator: "\n") + "\nCOMMIT\n"
        }
        return text.isEmpty ? nil : text
    }

    /// What it needs to read when published ports change; fails as a whole if those that go aren't there.
    ///
    /// Only these are named: to load a chain of 500 anew takes four times as long.
    func publication(adding new: Set<PortForward>, removing old: Set<PortForward>) -> String {
        let chain = name(.published)
        let lines =
            rules(of: .published, forwards: Array(old)).map { "-D \(chain) \($0)" }
            + rules(of: .published, forwards: Array(new)).map { "-A \(chain) \($0)" }
        return (["*nat"] + lines + ["COMMIT"]).joined(separator: "\n") + "\n"
    }

    /// What makes a host have nothing of it; nil if it has nothing.
    func removal(from saved: SavedRules) -> String? {
        var text = ""
        for table in Table.allCases {
            let chains = Chain.allCases.filter { $0.table == table && saved.chain(name($0), in: table) != nil }
            guard !chains.isEmpty else { continue }
            // All are emptied before the first goes: a chain that is jumped to cannot be deleted.
            var lines = chains.map { ":\(name($0)) - [0:0]" }
            for chain in chains {
                guard let caller = chain.caller?.chain else { continue }
                lines += jumps(to: chain, in: saved).map { "-D \(caller) \($0)" }
            }
            lines += chains.map { "-X \(name($0))" }
            text += "*\(table.rawValue)\n" + lines.joined(separator: "\n") + "\nCOMMIT\n"
        }
        return text.isEmpty ? nil : text
    }

    /// The rules of others that translate what comes to a port of the host.
    func translationsOfOthers(in saved: SavedRules) -> [String] {
        (saved.tables[Table.nat.rawValue] ?? [:]).filter { $0.key != name(.published) }.values.flatMap(\.rules).filter {
            $0.contains("--dport ") && ($0.contains("-j DNAT") || $0.contains("-j REDIRECT"))
        }
    }

    /// Whether one of those is about a port.
    static func translates(_ rule: String, _ key: PublishedPort.Key) -> Bool {
        rule.contains("--dport \(key.hostPort) ") && rule.contains("-p \(key.transport.rawValue) ")
    }

    private func isRight(_ chain: Chain, in saved: SavedRules, forwards: [PortForward]) -> Bool {
        let expected = rules(of: chain, forwards: forwards)
        guard let present = saved.chain(name(chain), in: chain.table)?.rules else { return false }
        // Published ports exclude each other, so they may come in any order.
        return present == expected || (chain == .published && present.sorted() == expected.sorted())
    }

    /// First means: before all but the jumps of other agents, or two of them would overtake each other for ever.
    func hasRightJump(to chain: Chain, in saved: SavedRules) -> Bool {
        guard let caller = chain.caller?.chain, let jump = jump(to: chain) else { return true }
        let rules = saved.chain(caller, in: chain.table)?.rules ?? []
        return rules.prefix { $0.contains("-j \(Self.prefix)") }.contains(jump)
            && jumps(to: chain, in: saved).count == 1
    }

    /// Every rule that sends packets to one of our chains, however it came about.
    private func jumps(to chain: Chain, in saved: SavedRules) -> [String] {
        guard let caller = chain.caller?.chain else { return [] }
        return (saved.chain(caller, in: chain.table)?.rules ?? []).filter { $0.hasSuffix("-j \(name(chain))") }
    }
}
