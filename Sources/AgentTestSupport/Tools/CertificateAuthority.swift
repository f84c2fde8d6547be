import Foundation
public import SystemPackage

/// A private certificate authority, made with openssl, that nothing trusts by itself.
public struct CertificateAuthority: Sendable {
    /// A certificate and its key, both in PEM form.
    public struct Identity: Sendable {
        public let certificate: FilePath
        public let key: FilePath
    }

    /// The authority's own.
    public let identity: Identity
    private let scratch: Scratch

    public var certificate: FilePath { identity.certificate }

    /// Makes one.
    public init(in scratch: Scratch, name: String = "authority") async throws {
        self.scratch = scratch
        identity = Identity(certificate: scratch.appending("\(name).pem"), key: scratch.appending("\(name).key"))
        try await tool(
            "openssl",
            ["req", "-x509", "-days", "2", "-subj", "/CN=\(name)"] + Self.newKey(identity.key) + [
                "-out", identity.certificate.string,
            ]
        )
    }

    /// Signs a server's certificate.
    ///
    /// - Parameters:
    ///   - name: Of its files.
    ///   - subject: Who it is for, as openssl writes it: `IP:127.0.0.1`, `DNS:example.test`.
    ///   - days: How long it is valid; -1 for one that expired yesterday.
    /// - Returns: The two files.
    /// - Throws: ``ToolFailure``.
    public func issue(
        _ name: String,
        for subject: String = "IP:127.0.0.1",
        days: Int = 2
    ) async throws -> Identity {
        let issued = Identity(certificate: scratch.appending("\(name).pem"), key: scratch.appending("\(name).key"))
        let request = scratch.appending("\(name).csr").string
        try await tool(
            "openssl",
            ["req", "-new", "-subj", "/CN=\(name)"] + Self.newKey(issued.key) + ["-out", request]
        )
        let extensions = try scratch.write(Array("subjectAltName=\(subject)\n".utf8), to: "\(name).extensions")
        try await tool(
            "openssl",
            [
                "x509", "-req", "-days", "\(days)", "-in", request, "-out", issued.certificate.string,
                "-extfile", extensions.string, "-CA", identity.certificate.string, "-CAkey", identity.key.string,
                "-CAcreateserial",
            ]
        )
        return issued
    }

    private static func newKey(_ path: FilePath) -> [String] {
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path.string]
    }
}
