/// What a token may do: a noun and a verb, as `instance:read`.
struct Scope: Sendable, Hashable, CustomStringConvertible {
    enum Noun: String, Sendable {
        case instance
        case image
        case snapshot
        case volume
    }

    enum Verb: String, Sendable {
        case read
        case write
        case delete
    }

    var noun: Noun
    var verb: Verb

    init(_ noun: Noun, _ verb: Verb) {
        self.noun = noun
        self.verb = verb
    }

    var description: String { "\(noun.rawValue):\(verb.rawValue)" }

    /// Whether one of a token's permissions covers it: itself, all of its noun, or all.
    func isCovered(by permissions: Set<String>) -> Bool {
        permissions.contains(description) || permissions.contains("\(noun.rawValue):*") || permissions.contains("*")
    }
}

/// Who may call a route.
enum Access: Sendable, Hashable {
    /// Anybody, without a token.
    case open
    /// Anybody whom the agent knows.
    case known
    /// Whoever has this scope.
    case scope(Scope)
}

/// Who makes a request, and what they may do.
struct Identity: Sendable, Hashable {
    /// For the audit log: a token's subject, or a user on this host.
    var subject: String
    /// nil means everything.
    var permissions: Set<String>?

    func allows(_ access: Access) -> Bool {
        guard case .scope(let scope) = access, let permissions else { return true }
        return scope.isCovered(by: permissions)
    }
}
