extension RawRepresentable where Self: CaseIterable, RawValue == String {
    /// One of a few words, as somebody wrote it.
    ///
    /// - Parameters:
    ///   - word: The word.
    ///   - field: What it was written for, as the writer calls it.
    ///   - code: Of the error.
    /// - Throws: `invalidArgument` with the code, which says the words that there are.
    public init(word: String, of field: String, code: String) throws(AgentError) {
        guard let value = Self(rawValue: word) else {
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw AgentError(.invalidArgument, code: code, "\(field) '\(word.prefix(50))' is not one of \(known)")
        }
        self = value
    }
}

extension InstanceState {
    /// A state, as somebody wrote it.
    ///
    /// - Throws: `invalidArgument` `invalid_state_name`.
    public init(text: String) throws(AgentError) { try self.init(word: text, of: "state", code: "invalid_state_name") }
}

/// Names of environment variables.
public enum EnvironmentNames {
    /// Whether all of these are names.
    ///
    /// - Throws: `invalidArgument` `invalid_env` for one that is not.
    public static func check(_ variables: [String: String]) throws(AgentError) {
        guard let name = variables.keys.first(where: { $0.isEmpty || $0.contains("=") }) else { return }
        throw AgentError(
            .invalidArgument,
            code: "invalid_env",
            "'\(name.prefix(100))' is not the name of an environment variable"
        )
    }
}

/// How long a call waits for an instance that is still starting.
public enum StartPatience {
    /// Where nobody says.
    public static let standard = Duration.seconds(10)
    private static let longest = Duration.seconds(300)

    /// As long as was asked for, within bounds.
    public static func bounded(_ asked: Duration?) -> Duration { min(asked ?? standard, longest) }
}
