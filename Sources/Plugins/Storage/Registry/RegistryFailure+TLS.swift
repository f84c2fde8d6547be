import AgentCore
import NIOSSL

extension RegistryFailure {
    /// Whether a certificate was refused, which may have a reason that can be found out.
    static func isRefusedCertificate(_ error: any Error) -> Bool {
        // NIOSSL keeps BoringSSL's reasons to itself but for their names.
        isTLS(error) && "\(error)".contains("CERTIFICATE_VERIFY_FAILED")
    }

    private static func isTLS(_ error: any Error) -> Bool {
        error is NIOSSLError || error is NIOSSLExtraError || error is BoringSSLError
    }

    /// For a connection that cannot be secured, by what is to be done about it; nil for another failure.
    static func insecure(_ error: any Error, who: String, target: RegistryURL?) -> RegistryFailure? {
        guard isTLS(error) else { return nil }
        let words = "\(error)"
        // Someone cut it (RFC 8446, 6.1): nothing that came is used before its digest fits.
        if error as? NIOSSLError == .uncleanShutdown || words.contains("EOF during handshake") {
            let message = "the TLS connection to \(who) was cut off without being closed"
            return RegistryFailure(
                AgentError(.unavailable, code: "registry_unavailable", message, cause: error),
                isPassing: true
            )
        }
        let message =
            if isRefusedCertificate(error) {
                "the certificate of \(who) is not signed by an authority that this host trusts; "
                    + "give the authority's certificate in REGISTRY_CA_FILE"
            } else if error is NIOSSLExtraError {
                "the certificate of \(who) is for another name; use the name that it is for"
            } else if words.contains("WRONG_VERSION_NUMBER") || words.contains("HTTP_REQUEST") {
                "\(who) does not speak TLS; a registry without it has to be listed in INSECURE_REGISTRIES"
            } else {
                "no secure connection to \(who) can be made; "
                    + "a registry without TLS has to be listed in INSECURE_REGISTRIES"
            }
        return RegistryFailure(
            AgentError(.unavailable, code: "tls_failed", message, cause: error),
            isPassing: false
        )
    }
}
