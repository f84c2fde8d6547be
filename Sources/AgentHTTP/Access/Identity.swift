import AgentCore

/// Who makes a request, and what they may do.
struct Identity: Sendable, Hashable {
    /// For the audit log: a token's subject, or a user on this host.
    var subject: String
    /// nil means everything.
    var permissions: Set<String>?

    func allows(_ access: Access) -> Bool { missing(for: access) == nil }

    /// The permission that it lacks; nil if there is none.
    func missing(for access: Access) -> Scope? { permissions.flatMap(access.missing(in:)) }
}
