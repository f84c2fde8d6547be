import AgentCore
import DBus

/// A dictionary `a{sv}` of a caller's: each entry is taken once, by its type, and one that nobody takes is refused.
struct Options {
    private var rest: [String: Variant]

    init(_ options: [String: Variant]) { rest = options }

    /// Takes an entry.
    ///
    /// - Returns: nil if it isn't there.
    /// - Throws: `invalidArgument` `invalid_field` if it has another type.
    mutating func take<Content: DBusRepresentable>(
        _ name: String,
        _ type: Content.Type = Content.self
    ) throws(AgentError) -> Content? {
        guard let value = rest.removeValue(forKey: name)?.value else { return nil }
        guard value.signature == Content.dbusSignature, let content = Content(value) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_field",
                "\(name) must be of type '\(Content.dbusSignature)', not '\(value.signature.prefix(50))'"
            )
        }
        return content
    }

    /// Takes an entry that must be there.
    ///
    /// - Throws: `invalidArgument` `missing_field` or `invalid_field`.
    mutating func require<Content: DBusRepresentable>(
        _ name: String,
        _ type: Content.Type = Content.self
    ) throws(AgentError) -> Content {
        guard let content = try take(name, type) else {
            throw AgentError(.invalidArgument, code: "missing_field", "\(name) is required")
        }
        return content
    }

    /// Takes a number that must fit an Int, at most `limit`.
    mutating func number(_ name: String, atMost limit: UInt64 = UInt64(Int.max)) throws(AgentError) -> Int? {
        guard let number = try take(name, UInt64.self) else { return nil }
        guard number <= limit else {
            throw AgentError(.invalidArgument, code: "invalid_field", "\(name) is \(number); the most is \(limit)")
        }
        return Int(number)
    }

    /// Takes a time in microseconds, as systemd's interfaces have them.
    mutating func duration(_ name: String) throws(AgentError) -> Duration? {
        // A hundred years: what is more overflows somewhere.
        try number(name, atMost: 3_155_760_000_000_000).map { .microseconds($0) }
    }

    /// Takes how long an instance that is still starting is waited for.
    mutating func patience() throws(AgentError) -> Duration { StartPatience.bounded(try duration("PatienceUSec")) }

    /// Refuses what was not taken.
    ///
    /// - Throws: `invalidArgument` `unknown_field`.
    func finish() throws(AgentError) {
        guard let name = rest.keys.min() else { return }
        throw AgentError(.invalidArgument, code: "unknown_field", "'\(name.prefix(100))' is not known here")
    }
}

extension Duration {
    /// Whole microseconds, as systemd's interfaces have them; 0 for a negative one.
    var microsecondsValue: UInt64 {
        let (seconds, rest) = components
        return UInt64(clamping: seconds) * 1_000_000 + UInt64(clamping: rest / 1_000_000_000_000)
    }
}
