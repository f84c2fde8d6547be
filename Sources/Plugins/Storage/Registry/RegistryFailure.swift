import AgentCore
import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// A failure on the way to an answer, with whether it is worth trying again.
struct RegistryFailure: Error {
    let error: AgentError
    let isPassing: Bool
    /// As the registry asked for.
    var retryAfter: Duration?

    init(_ error: AgentError, isPassing: Bool) {
        self.error = error
        self.isPassing = isPassing
    }

    /// For a status that is not a success.
    ///
    /// - Parameters:
    ///   - status: The answer's.
    ///   - headers: The answer's.
    ///   - body: What the registry says about it, if anything.
    ///   - request: What was asked for.
    ///   - isAuthorized: Whether credentials were shown.
    init(
        status: HTTPResponseStatus,
        headers: HTTPHeaders,
        body: String,
        request: RegistryTransport.Request,
        isAuthorized: Bool
    ) {
        let (registry, what) = (request.endpoint.registry, request.what)
        let detail = body.isEmpty ? "" : ": \(body)"
        let delay = headers.first(name: "retry-after").flatMap { RetryAfter.duration($0) }
        switch status.code {
        case 401:
            let message =
                isAuthorized
                ? "\(registry) refuses the user, password or token that it was given for \(what); check them"
                : "\(registry) wants a login for \(what), which may also not exist; there is none for it: use "
                    + "'docker login \(registry)' as the agent's user, or give one with the pull"
            error = AgentError(.unauthenticated, code: "registry_unauthorized", message + detail)
            isPassing = false
        case 403:
            error = AgentError(
                .permissionDenied,
                code: "registry_forbidden",
                "\(registry) does not allow access to \(what)"
                    + (isAuthorized ? "; check what its user may pull" : "; it may want a login") + detail
            )
            isPassing = false
        case 404:
            error = AgentError(
                .notFound,
                code: "image_not_found",
                "\(registry) does not have \(what); check the name and the tag\(detail)"
            )
            isPassing = false
        case 429:
            error = AgentError(
                .rateLimited,
                "\(registry) says that there were too many requests for \(what); try again "
                    + (delay.map { "in \($0.components.seconds) seconds" } ?? "later")
                    + ", log in, or use a mirror (REGISTRY_MIRRORS)\(detail)"
            )
            isPassing = true
        case 408, 425, 500...599:
            error = AgentError(
                .unavailable,
                code: "registry_unavailable",
                "\(registry) answered \(status) for \(what); try again later\(detail)"
            )
            isPassing = true
        default:
            error = AgentError(
                .unavailable,
                code: "registry_unavailable",
                "\(registry) answered \(status) for \(what), which is unexpected; is it a registry?\(detail)"
            )
            isPassing = false
        }
        retryAfter = delay
    }

    /// For no answer at all, or one that broke off.
    ///
    /// - Parameters:
    ///   - error: What was thrown.
    ///   - request: What was asked for.
    ///   - target: Who was asked, where it is known; a registry may have sent us elsewhere.
    init(_ error: any Error, request: RegistryTransport.Request, target: RegistryURL? = nil) {
        let registry = request.endpoint.registry
        let who =
            target.flatMap { $0.origin == RegistryURL(request.url)?.origin ? nil : $0.authority }
            .map { "\($0), where \(registry) sends us," } ?? registry
        switch error {
        case let failure as RegistryFailure: self = failure
        case let known as AgentError: self.init(known, isPassing: false)
        case _ where error is CancellationError || error as? HTTPClientError == .cancelled:
            let message = "getting \(request.what) from \(registry) was cancelled"
            self.init(AgentError(.cancelled, message), isPassing: false)
        case is NIOTooManyBytesError:
            let message = "\(request.what) of \(registry) is larger than \(OCI.maximumDocument) bytes"
            self.init(AgentError(.invalidArgument, code: "invalid_manifest", message), isPassing: false)
        default:
            if let failure = Self.insecure(error, who: who, target: target) {
                self = failure
                return
            }
            let (code, words) = Self.words(error, who: who, what: request.what)
            self.init(AgentError(.unavailable, code: code, words, cause: error), isPassing: true)
        }
    }

    /// What went wrong on a connection, and what to look at.
    private static func words(_ error: any Error, who: String, what: String) -> (code: String, message: String) {
        switch error {
        case let connection as NIOConnectionError:
            let host = connection.host
            if connection.connectionErrors.isEmpty, connection.dnsAError != nil || connection.dnsAAAAError != nil {
                return (
                    "registry_unresolved",
                    "the name \(host) cannot be resolved; check the image's name, and this host's name service"
                )
            }
            let isRefused = connection.connectionErrors.contains { ($0.error as? IOError)?.errnoCode == ECONNREFUSED }
            if isRefused {
                return (
                    "registry_refused_connection",
                    "nothing listens on port \(connection.port) of \(host); is it running, and is the port right?"
                )
            }
            return ("registry_unavailable", "\(who) cannot be reached for \(what); check the network")
        // For an address, of which there is no choice.
        case let failure as IOError where failure.errnoCode == ECONNREFUSED:
            return (
                "registry_refused_connection",
                "nothing listens at \(who) (connection refused); is it running, and is the port right?"
            )
        case let stall as TransferStalled:
            return ("registry_timeout", "\(who) is too slow with \(what): \(stall)")
        case let error as HTTPClientError:
            switch error {
            case .connectTimeout, .tlsHandshakeTimeout, .deadlineExceeded, .readTimeout, .getConnectionFromPoolTimeout:
                return ("registry_timeout", "\(who) does not answer in time for \(what)")
            case .proxyAuthenticationRequired:
                return (
                    "proxy_unauthorized",
                    "the proxy of HTTP_PROXY or HTTPS_PROXY wants another user or password on the way to \(who)"
                )
            case .invalidProxyResponse, .httpProxyHandshakeTimeout:
                return (
                    "proxy_failed",
                    "the proxy of HTTP_PROXY or HTTPS_PROXY makes no tunnel to \(who); check it and NO_PROXY"
                )
            default: break
            }
        default: break
        }
        return ("registry_unavailable", "the connection to \(who) broke off during \(what)")
    }
}
