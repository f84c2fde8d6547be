import Foundation

/// What `nft -j list …` writes (libnftables-json(5)).
struct NftListing: Sendable, Decodable {
    struct Table: Sendable, Hashable, Decodable {
        var family: String
        var name: String
    }

    struct Chain: Sendable, Hashable, Decodable {
        var family: String
        var table: String
        var name: String
        /// nil for chains that only others jump to.
        var hook: String?
        var policy: String?
    }

    struct Rule: Sendable, Hashable, Decodable {
        var family: String
        var table: String
        var chain: String
        var expr: [JSONValue]
    }

    struct Set: Sendable, Hashable, Decodable {
        var family: String
        var table: String
        var name: String
        var elem: [JSONValue]?
    }

    private struct Item: Decodable {
        var table: Table?
        var chain: Chain?
        var rule: Rule?
        var set: Set?
    }

    private enum CodingKeys: String, CodingKey {
        case nftables
    }

    var tables: [Table] = []
    var chains: [Chain] = []
    var rules: [Rule] = []
    var sets: [Set] = []

    init(from decoder: any Decoder) throws {
        for item in try decoder.container(keyedBy: CodingKeys.self).decode([Item].self, forKey: .nftables) {
            if let table = item.table { tables.append(table) }
            if let chain = item.chain { chains.append(chain) }
            if let rule = item.rule { rules.append(rule) }
            if let set = item.set { sets.append(set) }
        }
    }

    init(_ text: String) throws { self = try JSONDecoder().decode(Self.self, from: Data(text.utf8)) }

    func chain(_ name: String, in table: Table) -> Chain? {
        chains.first { $0.name == name && $0.table == table.name && $0.family == table.family }
    }

    func rules(of chain: Chain) -> [Rule] {
        rules.filter { $0.chain == chain.name && $0.table == chain.table && $0.family == chain.family }
    }
}

/// Any JSON, for the parts of another program's output that have no fixed form.
indirect enum JSONValue: Sendable, Hashable, Decodable {
    case null
    case boolean(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// The keys of an object.
    var keys: Swift.Set<String> {
        guard case .object(let fields) = self else { return [] }
        return Swift.Set(fields.keys)
    }

    subscript(key: String) -> JSONValue? {
        guard case .object(let fields) = self else { return nil }
        return fields[key]
    }

    /// Whether a text is anywhere in it.
    func mentions(_ text: String) -> Bool {
        switch self {
        case .null, .boolean, .number: false
        case .string(let value): value == text
        case .array(let values): values.contains { $0.mentions(text) }
        case .object(let fields): fields.values.contains { $0.mentions(text) }
        }
    }
}
