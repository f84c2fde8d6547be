import AgentAPI
import AgentCore
import HTTPTypes

extension AgentError.Kind {
    /// The one table from the agent's errors to HTTP.
    var status: HTTPResponse.Status {
        switch self {
        case .invalidArgument: .badRequest
        case .notFound: .notFound
        case .alreadyExists, .ambiguous, .invalidState, .busy, .quotaExceeded, .versionMismatch: .conflict
        case .storageFull: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
        case .notSupported: .notImplemented
        case .timeout: .gatewayTimeout
        case .unauthenticated: .unauthorized
        case .permissionDenied: .forbidden
        case .rateLimited: .tooManyRequests
        case .cancelled, .unavailable: .serviceUnavailable
        case .internal: .internalServerError
        }
    }
}

extension AgentError {
    /// The status for clients; where existing ones know a code under another status than its kind's, that one.
    var status: HTTPResponse.Status { code == "image_not_ready" ? .badRequest : kind.status }

    /// The body for clients.
    ///
    /// What lies below an internal error stays in the log.
    var response: ErrorResponse {
        ErrorResponse(code: code, message: kind == .internal ? message : description)
    }
}

extension FieldError {
    /// The same as the agent's error.
    var agentError: AgentError {
        switch kind {
        case .malformed: AgentError(.invalidArgument, code: "invalid_request", message)
        case .unknown: AgentError(.invalidArgument, code: "unknown_field", message)
        case .missing: AgentError(.invalidArgument, code: "missing_field", message)
        case .invalid: AgentError(.invalidArgument, code: "invalid_field", message)
        case .notImplemented: AgentError(.notSupported, code: "not_implemented", message)
        }
    }
}

/// An error of HTTP itself, which the agent's services know nothing of.
struct TransportError: Error {
    var status: HTTPResponse.Status
    var code: String
    var message: String
    var headers = HTTPFields()

    static func upgradeRequired(_ what: String) -> TransportError {
        var headers = HTTPFields()
        headers[.upgrade] = "websocket"
        return TransportError(
            status: .upgradeRequired,
            code: "upgrade_required",
            message:
                "\(what) is a WebSocket: send an upgrade request (RFC 6455, version 13) as the first on its connection",
            headers: headers
        )
    }

    static func unsupportedMediaType(_ expected: String, got: String) -> TransportError {
        TransportError(
            status: .unsupportedMediaType,
            code: "unsupported_media_type",
            message: "the body must be \(expected), not '\(got.prefix(100))': set the Content-Type header"
        )
    }

    static func notAcceptable(_ produced: String) -> TransportError {
        TransportError(
            status: .notAcceptable,
            code: "not_acceptable",
            message: "the answer would be \(produced), which the Accept header does not allow"
        )
    }

    static func tooLarge(_ limit: Int) -> TransportError {
        TransportError(
            status: .contentTooLarge,
            code: "body_too_large",
            message: "the body is larger than \(limit) bytes"
        )
    }

    static func methodNotAllowed(_ allowed: [HTTPRequest.Method]) -> TransportError {
        let names = allowed.map(\.rawValue).sorted().joined(separator: ", ")
        var headers = HTTPFields()
        headers[.allow] = names
        return TransportError(
            status: .methodNotAllowed,
            code: "method_not_allowed",
            message: "this path allows \(names)",
            headers: headers
        )
    }

    static let pathNotFound = TransportError(
        status: .notFound,
        code: "path_not_found",
        message: "there is no such path: see /spec.yaml for those there are"
    )

    static let badTarget = TransportError(
        status: .badRequest,
        code: "invalid_path",
        message: "the path or query is not valid percent-encoded UTF-8"
    )
}
