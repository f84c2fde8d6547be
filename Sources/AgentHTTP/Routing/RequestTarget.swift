import AgentAPI
import AgentCore
import HTTPTypes

/// A request's path and query, decoded segment by segment, so that an encoded slash stays inside its segment.
struct RequestTarget: Sendable {
    let segments: [String]
    let query: Query

    /// Parses a request target in origin form (RFC 9112, 3.2.1).
    init(_ text: String) throws(TransportError) {
        let withoutFragment = text.prefix { $0 != "#" }
        let parts = withoutFragment.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = parts.first, path.hasPrefix("/") else { throw .badTarget }
        var segments: [String] = []
        for segment in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard let decoded = PercentEncoding.decode(segment) else { throw .badTarget }
            segments.append(decoded)
        }
        self.segments = segments
        self.query = try Query(parts.count == 2 ? String(parts[1]) : "")
    }
}

/// The parameters of a query, each at most once.
struct Query: Sendable {
    private var values: [String: String] = [:]

    init(_ text: String) throws(TransportError) {
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(parts[0], plusIsSpace: true),
                let value = PercentEncoding.decode(parts.count == 2 ? parts[1] : "", plusIsSpace: true)
            else { throw .badTarget }
            guard values.updateValue(value, forKey: name) == nil else {
                throw TransportError(
                    status: .badRequest,
                    code: "invalid_query",
                    message: "query parameter '\(name.prefix(100))' is given more than once"
                )
            }
        }
    }

    subscript(name: String) -> String? { values[name] }

    /// Refuses the parameters that are not among `names`; `tags[k]` is covered by `tags`.
    func check(only names: Set<String>) throws(AgentError) {
        for name in values.keys.sorted() where !names.contains(String(name.prefix { $0 != "[" })) {
            throw AgentError(
                .invalidArgument,
                code: "unknown_parameter",
                "query parameter '\(name.prefix(100))' is not known"
                    + (names.isEmpty ? "" : "; known here: \(names.sorted().joined(separator: ", "))")
            )
        }
    }

    /// The filters `tags[k]=v`.
    func tags() throws(AgentError) -> [String: String] {
        var tags: [String: String] = [:]
        for (name, value) in values where name.prefix(while: { $0 != "[" }) == "tags" {
            guard name.hasPrefix("tags["), name.hasSuffix("]"), name.count > 6 else {
                throw AgentError(.invalidArgument, code: "invalid_query", "a tag filter is written 'tags[name]=value'")
            }
            tags[String(name.dropFirst(5).dropLast())] = value
        }
        return tags
    }

    func boolean(_ name: String) throws(AgentError) -> Bool {
        switch values[name] {
        case nil, "", "false", "0": return false
        case "true", "1": return true
        default:
            throw AgentError(.invalidArgument, code: "invalid_query", "query parameter '\(name)' must be true or false")
        }
    }

    func integer(_ name: String) throws(AgentError) -> Int? {
        guard let text = values[name], !text.isEmpty else { return nil }
        guard let number = Int(text) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_query",
                "query parameter '\(name)' must be a whole number"
            )
        }
        return number
    }
}
