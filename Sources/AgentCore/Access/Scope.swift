/// What a token may do: a noun and a verb, as `instance:read`.
public struct Scope: Sendable, Hashable, CustomStringConvertible {
    public enum Noun: String, Sendable {
        case instance
        case image
        case snapshot
        case volume
    }

    public enum Verb: String, Sendable {
        case read
        case write
        case delete
    }

    public var noun: Noun
    public var verb: Verb

    public init(_ noun: Noun, _ verb: Verb) {
        self.noun = noun
        self.verb = verb
    }

    public var description: String { "\(noun.rawValue):\(verb.rawValue)" }

    /// Whether one of a token's permissions covers it: itself, all of its noun, or all.
    public func isCovered(by permissions: Set<String>) -> Bool {
        permissions.contains(description) || permissions.contains("\(noun.rawValue):*") || permissions.contains("*")
    }
}

/// Who may call a route.
public enum Access: Sendable, Hashable {
    /// Anybody, without a token.
    case open
    /// Anybody whom the agent knows.
    case known
    /// Whoever has this scope.
    case scope(Scope)
    /// Whoever has both.
    case scopes(Scope, Scope)

    /// The scope that somebody with these permissions lacks; nil if there is none.
    public func missing(in permissions: Set<String>) -> Scope? {
        switch self {
        case .open, .known: nil
        case .scope(let scope): scope.isCovered(by: permissions) ? nil : scope
        case .scopes(let first, let second): [first, second].first { !$0.isCovered(by: permissions) }
        }
    }
}
