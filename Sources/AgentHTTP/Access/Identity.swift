import AgentCore

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
