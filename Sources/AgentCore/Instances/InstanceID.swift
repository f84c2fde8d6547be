/// An instance's identity: 24 characters, a letter and then lower-case letters and digits, as CUID2 forms them.
///
/// Made by the agent alone, never taken from a client: it becomes a path.
public struct InstanceID: Hashable, Sendable, Codable, RawRepresentable, CustomStringConvertible {
    public let rawValue: String

    /// An id that was stored; nil if it hasn't an id's form.
    public init?(rawValue: String) {
        guard rawValue.utf8.count == 24, rawValue.utf8.first.map({ (97...122).contains($0) }) == true,
            rawValue.utf8.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) })
        else { return nil }
        self.rawValue = rawValue
    }

    private init(unchecked rawValue: String) { self.rawValue = rawValue }

    /// A new one, from 123 random bits.
    public static func random() -> InstanceID {
        var generator = SystemRandomNumberGenerator()
        let letters = Array("abcdefghijklmnopqrstuvwxyz")
        let all = letters + Array("0123456789")
        let first = letters[Int.random(in: 0..<letters.count, using: &generator)]
        let rest = (1..<24).map { _ in all[Int.random(in: 0..<all.count, using: &generator)] }
        return InstanceID(unchecked: String([first] + rest))
    }

    public var description: String { rawValue }
}
