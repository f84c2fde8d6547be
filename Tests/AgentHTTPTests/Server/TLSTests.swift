import AgentAPI
import AgentCore
import AgentHTTP
import AgentTestSupport
import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import SystemPackage
import Testing

struct TLSTests {
    private static func tls(_ identity: CertificateAuthority.Identity) -> HTTPConfiguration.TLS {
        HTTPConfiguration.TLS(certificate: identity.certificate, key: identity.key)
    }

    @Test func tcpIsServedWithTheCertificateAndTheSocketWithout() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("server")
            try await TestServer.with(tls: Self.tls(identity), trusting: authority.certificate) { server async throws in
                #expect(try await server.request(.GET, "/health", token: .some(nil)).status == 200)
                #expect(try await server.request(.GET, "/instances", token: .some(nil)).status == 401)
                #expect(try await server.request(.GET, "/instances").status == 200)
                // Who speaks without TLS gets nothing.
                await #expect(throws: (any Error).self) {
                    try await server.http.execute(
                        HTTPClientRequest(url: "http://127.0.0.1:\(server.port)/health"),
                        timeout: .seconds(30)
                    )
                }
            }
        }
    }

    @Test func whoDoesNotTrustTheAuthoritySpeaksToNobody() async throws {
        try await Scratch.with { scratch in
            let identity = try await CertificateAuthority(in: scratch).issue("server")
            let other = try await CertificateAuthority(in: scratch, name: "other")
            try await TestServer.with(tls: Self.tls(identity), trusting: other.certificate) { server async throws in
                await #expect(throws: (any Error).self) {
                    try await server.request(.GET, "/health", token: .some(nil))
                }
                #expect(try await server.request(.GET, "/health").status == 200)
            }
        }
    }

    @Test func whatCannotBeServedWithStopsTheStartAndIsNamed() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let one = try await authority.issue("one")
            let two = try await authority.issue("two")
            let missing = scratch.appending("missing.pem")
            let garbage = try scratch.write(Array("neither".utf8), to: "garbage.pem")
            for (certificate, key, words) in [
                (missing, one.key, "TLS_CERT is \(missing)"), (garbage, one.key, "TLS_CERT is \(garbage)"),
                (scratch.path, one.key, "TLS_CERT is \(scratch.path)"),
                (one.key, one.certificate, "TLS_CERT is \(one.key)"),
                (one.certificate, missing, "TLS_KEY is \(missing)"),
                (one.certificate, garbage, "TLS_KEY is \(garbage)"),
                (one.certificate, two.key, "does not belong to the certificate"),
            ] {
                let tls = HTTPConfiguration.TLS(certificate: certificate, key: key)
                let error = #expect(throws: AgentError.self) { try tls.check() }
                #expect(error?.code == "invalid_tls")
                #expect(error?.description.contains(words) == true, "\(words): \(String(describing: error))")
                let started = await #expect(throws: AgentError.self) { try await TestServer.with(tls: tls) { _ in } }
                #expect(started?.description == error?.description)
            }
        }
    }
}
