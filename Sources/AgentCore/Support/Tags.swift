/// The labels that a user puts on instances and images.
public enum Tags {
    /// Checks them by the rules of existing clients: at most 50, keys of 1 to 128 and values of up to 256 characters out
    /// of letters, digits, space and `_.:/=+@-`.
    ///
    /// - Throws: `invalidArgument` `invalid_tags`.
    public static func validate(_ tags: [String: String]) throws(AgentError) {
        guard tags.count <= 50 else {
            throw AgentError(.invalidArgument, code: "invalid_tags", "\(tags.count) tags are more than the 50 allowed")
        }
        for (key, value) in tags {
            guard (1...128).contains(key.utf8.count), value.utf8.count <= 256, key.utf8.allSatisfy(isAllowed),
                value.utf8.allSatisfy(isAllowed)
            else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_tags",
                    "tag '\(key.prefix(130))' is not valid: a key has 1 to 128 and a value up to 256 characters out of "
                        + "letters, digits, space and _.:/=+@-"
                )
            }
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || " _.:/=+@-".utf8.contains(byte)
    }
}
