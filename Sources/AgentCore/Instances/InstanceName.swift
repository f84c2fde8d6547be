/// A name for people, also the guest's host name: lower-case letters, digits and inner hyphens, at most 63 (RFC 1123).
public struct InstanceName: Hashable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: String

    /// Checks `text`.
    ///
    /// - Throws: ``AgentError`` `invalid_name` that says what a name may contain.
    public init(_ text: String) throws(AgentError) {
        let inner = text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
        guard inner, !text.isEmpty, text.utf8.count <= 63, text.first != "-", text.last != "-" else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_name",
                "name '\(text.prefix(80))' is not valid: use 1 to 63 lower-case letters, digits and hyphens, "
                    + "with no hyphen at either end"
            )
        }
        self.rawValue = text
    }

    public var description: String { rawValue }
}
