/// Everything wrong with a graph, found before anything was made.
public struct GraphError: Error, Sendable, CustomStringConvertible {
    public enum Problem: Sendable, Hashable {
        /// Nothing provides `key`; `chain` leads from it to the root.
        case missing(key: ProviderKey, neededBy: [Step])
        /// `path` starts and ends at the same key.
        case cycle(path: [Step])
        /// Two providers make `key`.
        case duplicate(key: ProviderKey, first: Step, second: Step)
        /// No value reachable from the root needs it.
        case unused(Step)
    }

    /// A key and the provider that makes it.
    public struct Step: Sendable, Hashable, CustomStringConvertible {
        public var key: ProviderKey
        public var location: SourceLocation
        public var sets: [String]

        public var description: String {
            let sets = sets.isEmpty ? "" : " in set \(sets.map { "\"\($0)\"" }.joined(separator: " in "))"
            return "\(key) (\(location)\(sets))"
        }
    }

    /// At least one.
    public let problems: [Problem]

    /// An error of what ``Graph/problems(for:reportingUnused:)`` found.
    public init(problems: [Problem]) { self.problems = problems }

    public var description: String { problems.map(\.description).joined(separator: "\n\n") }
}

extension GraphError.Problem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missing(let key, let neededBy):
            (["no provider found for \(key)"] + neededBy.map { "  needed by \($0)" }).joined(separator: "\n")
        case .cycle(let path):
            (["cycle for \(path[0].key):"] + path.map { "  \($0) ->" } + ["  \(path[0].key)"]).joined(separator: "\n")
        case .duplicate(let key, let first, let second):
            "multiple providers for \(key)\n  current:  \(second)\n  previous: \(first)"
        case .unused(let step):
            "unused provider of \(step)"
        }
    }
}
