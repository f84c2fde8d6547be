import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOSSL

/// A failure on the way to an answer, with whether it is worth trying again.
struct RegistryFailure: Error {
    let error: AgentError
    let isPassing: Bool
    /// As the registry asked for.
    var retryAfter: Duration?

    /// For a status that is not a success.
    init(status: HTTPResponseStatus, headers: HTTPHeaders, body: String, what: String, registry: String) {
        let detail = body.isEmpty ? "" : ": \(body)"
        retryAfter = headers.first(name: "retry-after").flatMap { Int($0) }.map { .seconds(max(0, $0)) }
        switch status.code {
        case 401:
            isPassing = false
            error = AgentError(
                .unauthenticated,
                code: "registry_unauthorized",
                "\(registry) refuses \(what) without other credentials; it may also not exist. Log in with 'docker login \(registry)'\(detail)"
            )
        case 403:
            isPassing = false
            error = AgentError(
                .permissionDenied,
                code: "registry_forbidden",
                "\(registry) does not allow access to \(what)\(detail)"
            )
        case 404:
            isPassing = false
            error = AgentError(.notFound, code: "image_not_found", "\(registry) does not have \(what)\(detail)")
        case 429:
            isPassing = true
            error = AgentError(
                .rateLimited,
                "\(registry) says that there were too many requests; try again later\(detail)"
            )
        case 500...599:
            isPassing = true
            error = AgentError(
                .unavailable,
                code: "registry_unavailable",
                "\(registry) answered \(status) for \(what)\(detail)"
            )
        default:
            isPassing = false
            error = AgentError(
                .unavailable,
                code: "registry_unavailable",
                "\(registry) answered \(status) for \(what), which is unexpected\(detail)"
            )
        }
    }

    /// For no answer at all, or one that broke off.
    init(_ error: any Error, what: String, registry: String) {
        retryAfter = nil
        switch error {
        case let failure as RegistryFailure: self = failure
        case let known as AgentError:
            self.error = known
            isPassing = false
        case _ where error is CancellationError || error as? HTTPClientError == .cancelled:
            self.error = AgentError(.cancelled, "getting \(what) from \(registry) was cancelled")
            isPassing = false
        case is NIOTooManyBytesError:
            self.error = AgentError(
                .invalidArgument,
                code: "invalid_manifest",
                "\(what) of \(registry) is larger than \(OCI.maximumDocument) bytes"
            )
            isPassing = false
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError:
            self.error = Self.insecure(error, registry: registry)
            isPassing = false
        default:
            self.error = AgentError(
                .unavailable,
                code: "registry_unavailable",
                "\(registry) does not answer for \(what)",
                cause: error
            )
            isPassing = true
        }
    }

    /// For a connection that cannot be secured, by what is to be done about it.
    private static func insecure(_ error: any Error, registry: String) -> AgentError {
        // NIOSSL keeps BoringSSL's reasons to itself but for their names.
        let words = "\(error)"
        let message =
            if words.contains("CERTIFICATE_VERIFY_FAILED") {
                "the certificate of \(registry) is not signed by an authority that this host trusts; "
                    + "give the authority's certificate in REGISTRY_CA_FILE"
            } else if error is NIOSSLExtraError {
                "the certificate of \(registry) is for another name; use the name that it is for"
            } else {
                "no secure connection to \(registry) can be made; "
                    + "a registry without TLS has to be listed in INSECURE_REGISTRIES"
            }
        return AgentError(.unavailable, code: "tls_failed", message, cause: error)
    }
}
