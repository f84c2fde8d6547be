/// What a registry wants to see, from `WWW-Authenticate` (RFC 9110, 11.6.1; distribution's token specification).
enum AuthenticationChallenge: Hashable {
    case basic
    case bearer(realm: String, service: String?, scope: String?)

    /// The best of the headers' challenges; nil if there is none that can be met.
    init?(headers: [String]) {
        let parsed = headers.prefix(16).flatMap { Self.parse($0.prefix(8192)) }
        guard let best = parsed.first(where: { $0 != .basic }) ?? parsed.first else { return nil }
        self = best
    }

    /// `Scheme name="value", name=value, Scheme …`, where a quoted value may contain commas and escaped quotes.
    private static func parse(_ header: Substring) -> [AuthenticationChallenge] {
        var found: [(scheme: String, parameters: [String: String])] = []
        var rest = header
        while true {
            rest = rest.drop { $0 == "," || $0 == " " || $0 == "\t" }
            let word = rest.prefix(while: isTokenCharacter)
            guard !word.isEmpty else { break }
            let after = rest[word.endIndex...].drop { $0 == " " || $0 == "\t" }
            guard after.first == "=", !found.isEmpty else {
                found.append((word.lowercased(), [:]))
                rest = after
                continue
            }
            rest = after.dropFirst().drop { $0 == " " || $0 == "\t" }
            found[found.endIndex - 1].parameters[word.lowercased()] = value(&rest)
        }
        return found.compactMap { scheme, parameters in
            switch scheme {
            case "basic": .basic
            case "bearer":
                parameters["realm"].map {
                    .bearer(realm: $0, service: parameters["service"], scope: parameters["scope"])
                }
            default: nil
            }
        }
    }

    private static func value(_ rest: inout Substring) -> String {
        guard rest.first == "\"" else {
            let value = rest.prefix { $0 != "," && $0 != " " && $0 != "\t" }
            rest = rest[value.endIndex...]
            return String(value)
        }
        rest = rest.dropFirst()
        var value = ""
        while let character = rest.popFirst(), character != "\"" {
            value.append(character == "\\" ? rest.popFirst() ?? character : character)
        }
        return value
    }

    private static func isTokenCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "!#$%&'*+-.^_`|~".contains(character))
    }
}
