/// An error that someone outside the agent will read.
///
/// `kind` decides the HTTP status and the D-Bus name; `code` is the stable word that clients match on; `message` says
/// what went wrong, with which id or value, and what to do about it: lower-case start, no full stop, never repeating the
/// cause.
public struct AgentError: Error, Sendable, CustomStringConvertible {
    /// The class of an error.
    ///
    /// One table maps it to HTTP, another to D-Bus.
    public enum Kind: String, Sendable, CaseIterable {
        /// The request itself is wrong, whatever the agent's state.
        case invalidArgument
        case notFound
        case alreadyExists
        /// A prefix that fits several ids.
        case ambiguous
        /// Not in this state; another state would do.
        case invalidState
        /// Something else is under way that must end first.
        case busy
        /// A configured limit.
        case quotaExceeded
        /// The host's disk is full.
        case storageFull
        case notSupported
        case timeout
        /// Cancelled by a request or because the agent stops.
        case cancelled
        case unauthenticated
        case permissionDenied
        /// A registry or another peer said to come back later.
        case rateLimited
        /// A peer, a tool or a device that is needed does not answer.
        case unavailable
        /// Stored by another version of the agent, the hypervisor or the guest.
        case versionMismatch
        /// A fault of the agent itself.
        case `internal`
    }

    /// The class of the error.
    public var kind: Kind
    /// The stable word for clients, in snake case.
    public var code: String
    /// For a person.
    public var message: String
    /// What is below, for the log and, one level deep, for the message.
    public var cause: (any Error)?

    /// Makes an error; `code` is the kind's own word where nothing more exact is said.
    public init(_ kind: Kind, code: String? = nil, _ message: String, cause: (any Error)? = nil) {
        self.kind = kind
        self.code = code ?? kind.defaultCode
        self.message = message
        self.cause = cause
    }

    public var description: String {
        guard let cause else { return message }
        return "\(message): \(cause)"
    }

    /// `error` itself if it is one, else an internal error with it as the cause.
    public static func wrapping(_ error: any Error, _ message: String) -> AgentError {
        if let error = error as? AgentError { return error }
        if error is CancellationError { return AgentError(.cancelled, "\(message): cancelled") }
        return AgentError(.internal, message, cause: error)
    }
}

extension AgentError.Kind {
    /// The code of an error of this kind that has none of its own.
    public var defaultCode: String {
        switch self {
        case .invalidArgument: "invalid_argument"
        case .notFound: "not_found"
        case .alreadyExists: "already_exists"
        case .ambiguous: "ambiguous"
        case .invalidState: "invalid_state"
        case .busy: "busy"
        case .quotaExceeded: "quota_exceeded"
        case .storageFull: "storage_full"
        case .notSupported: "not_supported"
        case .timeout: "timeout"
        case .cancelled: "cancelled"
        case .unauthenticated: "unauthorized"
        case .permissionDenied: "forbidden"
        case .rateLimited: "rate_limited"
        case .unavailable: "unavailable"
        case .versionMismatch: "version_mismatch"
        case .internal: "internal_error"
        }
    }
}
