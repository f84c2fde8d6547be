public import AgentCore
public import DBus

extension AgentError.Kind {
    /// The one table from the agent's errors to D-Bus.
    var dbusName: String {
        let word =
            switch self {
            case .invalidArgument: "InvalidArgument"
            case .notFound: "NotFound"
            case .alreadyExists: "AlreadyExists"
            case .ambiguous: "Ambiguous"
            case .invalidState: "InvalidState"
            case .busy: "Busy"
            case .quotaExceeded: "QuotaExceeded"
            case .storageFull: "StorageFull"
            case .notSupported: "NotSupported"
            case .timeout: "Timeout"
            case .cancelled: "Cancelled"
            case .unauthenticated: "Unauthenticated"
            case .permissionDenied: "PermissionDenied"
            case .rateLimited: "RateLimited"
            case .unavailable: "Unavailable"
            case .versionMismatch: "VersionMismatch"
            case .internal: "Internal"
            }
        return "\(AgentBus.name).Error.\(word)"
    }
}

extension AgentError: DBusErrorConvertible {
    /// What callers are told; what lies below an internal error stays in the log.
    ///
    /// D-Bus has no place for the stable word that HTTP's clients match on, so one that says more than the kind follows
    /// the message in parentheses.
    public var dbusError: DBusError {
        let text = kind == .internal ? message : description
        return DBusError(name: kind.dbusName, message: code == kind.defaultCode ? text : "\(text) (\(code))")
    }

    /// What a caller of a method is told of any error of the services.
    static func answering(_ error: any Error) -> any Error {
        if error is DBusError || error is AgentError { return error }
        return AgentError.wrapping(error, "the agent failed; its log says more")
    }
}
