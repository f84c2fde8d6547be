import AgentCore
import Foundation

/// What `nft -j list …` writes (libnftables-json(5)).
struct NftListing: Sendable {
    struct Table: Sendable, Hashable {
        var family: String
        var name: String
    }

    struct Chain: Sendable, Hashable {
        var family: String
        var table: String
        var name: String
        /// nil for chains that only others jump to.
        var hook: String?
        var policy: String?
    }

    struct Rule: Sendable, Hashable {
        var family: String
        var table: String
        var chain: String
        var expressions: [JSONValue]
    }

    struct Set: Sendable, Hashable {
        var family: String
        var table: String
        var name: String
        var elements: [JSONValue]
    }

    private(set) var tables: [Table] = []
    private(set) var chains: [Chain] = []
    private(set) var rules: [Rule] = []
    private(set) var sets: [Set] = []

    /// - Throws: `unavailable` if it is not what nft writes.
    init(_ text: String) throws {
        let root: JSONValue
        do {
            root = JSONValue(try JSONSerialization.jsonObject(with: Data(text.utf8)))
        } catch {
            throw AgentError(.unavailable, "what nft lists cannot be read", cause: error)
        }
        guard let items = root["nftables"]?.array else {
            throw AgentError(.unavailable, "what nft lists is not a list")
        }
        for case .object(let item) in items {
            for (kind, content) in item { try add(kind, content) }
        }
    }

    private mutating func add(_ kind: String, _ content: JSONValue) throws {
        func text(_ key: String) throws -> String {
            guard let text = content[key]?.text else {
                throw AgentError(.unavailable, "nft lists a \(kind) without '\(key)'")
            }
            return text
        }
        switch kind {
        case "table":
            tables.append(Table(family: try text("family"), name: try text("name")))
        case "chain":
            chains.append(
                Chain(
                    family: try text("family"),
                    table: try text("table"),
                    name: try text("name"),
                    hook: content["hook"]?.text,
                    policy: content["policy"]?.text
                )
            )
        case "rule":
            rules.append(
                Rule(
                    family: try text("family"),
                    table: try text("table"),
                    chain: try text("chain"),
                    expressions: content["expr"]?.array ?? []
                )
            )
        case "set", "map":
            sets.append(
                Set(
                    family: try text("family"),
                    table: try text("table"),
                    name: try text("name"),
                    elements: content["elem"]?.array ?? []
                )
            )
        default:
            // What nothing here asks for: nft's own version, counters, flow tables.
            return
        }
    }

    func chain(_ name: String, in table: Table) -> Chain? {
        chains.first { $0.name == name && $0.table == table.name && $0.family == table.family }
    }

    func rules(of chain: Chain) -> [Rule] {
        rules.filter { $0.chain == chain.name && $0.table == chain.table && $0.family == chain.family }
    }
}

/// Any JSON, for the parts of another program's output that have no fixed form.
indirect enum JSONValue: Sendable, Hashable {
    case null
    /// Also true and false, as 1 and 0.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// - Parameter value: As JSONSerialization makes it.
    init(_ value: Any) {
        switch value {
        case let value as String: self = .string(value)
        case let value as [Any]: self = .array(value.map(JSONValue.init))
        case let value as [String: Any]: self = .object(value.mapValues(JSONValue.init))
        case let value as NSNumber: self = .number(value.doubleValue)
        default: self = .null
        }
    }

    var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    var array: [JSONValue]? {
        guard case .array(let values) = self else { return nil }
        return values
    }

    /// The keys of an object.
    var keys: Set<String> {
        guard case .object(let fields) = self else { return [] }
        return Set(fields.keys)
    }

    subscript(key: String) -> JSONValue? {
        guard case .object(let fields) = self else { return nil }
        return fields[key]
    }

    /// Whether a text is anywhere in it.
    func mentions(_ text: String) -> Bool {
        switch self {
        case .null, .number: false
        case .string(let value): value == text
        case .array(let values): values.contains { $0.mentions(text) }
        case .object(let fields): fields.values.contains { $0.mentions(text) }
        }
    }
}
