/// What a registry wants to see, from `WWW-Authenticate` (RFC 9110, 11.6.1; distribution's token specification).
enum AuthenticationChallenge: Hashable {
    case basic
    case bearer(realm: String, service: String?, scope: String?)

    /// The best of the headers' challenges; nil if there is none that can be met.
    init?(headers: [String]) {
        let parsed = headers.compactMap(Self.parse)
        guard let best = parsed.first(where: { $0 != .basic }) ?? parsed.first else { return nil }
        self = best
    }

    private static func parse(_ header: String) -> AuthenticationChallenge? {
        let parts = header.prefix(8192).split(separator: " ", maxSplits: 1)
        switch parts.first?.lowercased() {
        case "basic": return .basic
        case "bearer":
            let parameters = parameters(parts.count > 1 ? parts[1] : "")
            guard let realm = parameters["realm"] else { return nil }
            return .bearer(realm: realm, service: parameters["service"], scope: parameters["scope"])
        default: return nil
        }
    }

    /// `name="value", name=value`, where a value may contain commas and escaped quotes.
    private static func parameters(_ text: Substring) -> [String: String] {
        var parameters: [String: String] = [:]
        var rest = text
        while let equals = rest.firstIndex(of: "=") {
            let name = rest[..<equals].drop { $0 == "," || $0 == " " }.lowercased()
            rest = rest[rest.index(after: equals)...]
            var value = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let character = rest.popFirst(), character != "\"" {
                    value.append(character == "\\" ? rest.popFirst() ?? character : character)
                }
            } else {
                value = String(rest.prefix { $0 != "," })
                rest = rest.dropFirst(value.count)
            }
            parameters[name] = value
        }
        return parameters
    }
}
