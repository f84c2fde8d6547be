/// What `iptables-save` writes: the rules of a host's IPv4 tables.
struct SavedRules: Sendable, Hashable {
    /// A chain of a table.
    struct Chain: Sendable, Hashable {
        /// ACCEPT or DROP; nil for chains that are not built in.
        var policy: String?
        /// In order, without `-A` and the chain's name.
        var rules: [String] = []
    }

    /// By table and chain.
    private(set) var tables: [String: [String: Chain]] = [:]

    /// Reads the text; lines that are not understood are not ours and left out.
    init(_ text: String) {
        var table = ""
        for line in text.split(separator: "\n") {
            switch line.first {
            case "*":
                table = String(line.dropFirst())
                tables[table] = [:]
            case ":":
                let fields = line.dropFirst().split(separator: " ")
                guard fields.count >= 2 else { continue }
                tables[table]?[String(fields[0])] = Chain(policy: fields[1] == "-" ? nil : String(fields[1]))
            case "-":
                let fields = line.split(separator: " ", maxSplits: 2)
                guard fields.count == 3, fields[0] == "-A" else { continue }
                tables[table]?[String(fields[1])]?.rules.append(String(fields[2]))
            default:
                continue
            }
        }
    }

    func chain(_ name: String, in table: PacketRules.Table) -> Chain? { tables[table.rawValue]?[name] }
}
