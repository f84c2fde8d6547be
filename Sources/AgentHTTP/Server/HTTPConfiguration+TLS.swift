public import AgentCore
import NIOSSL
import SystemPackage

extension HTTPConfiguration.TLS {
    /// Reads both files and sees that they belong together, so that a mistake is found at the start and not by the first
    /// client.
    ///
    /// Blocks while it reads.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_tls` that names the variable and the file.
    public func check() throws(AgentError) { _ = try settings() }

    /// What NIOSSL is told.
    func settings() throws(AgentError) -> TLSConfiguration {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(certificate.string)
        } catch {
            throw Self.error("TLS_CERT is \(certificate), which cannot be read as a PEM certificate chain", error)
        }
        let privateKey: NIOSSLPrivateKey
        do {
            privateKey = try NIOSSLPrivateKey(file: key.string, format: .pem)
        } catch {
            throw Self.error("TLS_KEY is \(key), which cannot be read as a PEM private key without a passphrase", error)
        }
        var settings = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(privateKey)
        )
        settings.minimumTLSVersion = .tlsv12
        do {
            _ = try NIOSSLContext(configuration: settings)
        } catch {
            throw Self.error(
                "the key in TLS_KEY (\(key)) does not belong to the certificate in TLS_CERT (\(certificate))",
                error
            )
        }
        return settings
    }

    private static func error(_ message: String, _ cause: any Error) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_tls", message, cause: cause)
    }
}
