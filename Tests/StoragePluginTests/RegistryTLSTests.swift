import AgentCore
import AgentTestSupport
import Foundation
import Logging
import StoragePlugin
import SystemPackage
import Testing

@Suite("registries with certificates and identity tokens")
struct RegistryTLSTests {
    /// Asks a registry for the digest of `app:1`.
    private func resolve(_ host: String, _ storage: Storage) async throws -> Digest {
        let client = try RegistryClient(
            configuration: storage.configuration,
            store: storage.store,
            logger: Logger(label: "test")
        )
        do {
            let digest = try await client.resolve(try ImageReference("\(host)/app:1"), platform: .host)
            try await client.shutdown()
            return digest
        } catch {
            try await client.shutdown()
            throw error
        }
    }

    @Test func privateAuthorityIsRefusedUntilItIsGiven() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let other = try await CertificateAuthority(in: scratch, name: "other")
            let identity = try await authority.issue("registry")
            var tar = TarBuilder()
            tar.file("file", Array("contents".utf8))
            let layout = try await Layout.make([tar.finished()], in: scratch)
            try await DockerRegistry.with(scratch, identity: identity) { registry in
                try await registry.push(layout, as: "app:1")
                for given in [nil, other.certificate] {
                    let error = await #expect(throws: AgentError.self) {
                        try await resolve(registry.host, try scratch.storage(registryAuthorities: given))
                    }
                    #expect(error?.code == "tls_failed", "\(String(describing: error))")
                    #expect(error?.description.contains("REGISTRY_CA_FILE") == true, "\(String(describing: error))")
                }
                let storage = try scratch.storage(registryAuthorities: authority.certificate)
                _ = try await resolve(registry.host, storage)
            }
        }
    }

    @Test func certificateForAnotherNameIsRefused() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("registry", for: "DNS:registry.test")
            try await DockerRegistry.with(scratch, identity: identity) { registry in
                let error = await #expect(throws: AgentError.self) {
                    try await resolve(registry.host, try scratch.storage(registryAuthorities: authority.certificate))
                }
                #expect(error?.code == "tls_failed")
                #expect(error?.description.contains("another name") == true, "\(String(describing: error))")
            }
        }
    }

    @Test func authoritiesThatCannotBeReadStopTheStart() async throws {
        try await Scratch.with { scratch in
            let garbage = try scratch.write(Array("no certificate".utf8), to: "garbage.pem")
            for path in [garbage, scratch.appending("missing.pem"), scratch.path] {
                let storage = try scratch.storage(registryAuthorities: path)
                let error = #expect(throws: AgentError.self) {
                    try RegistryClient(
                        configuration: storage.configuration,
                        store: storage.store,
                        logger: Logger(label: "test")
                    )
                }
                #expect(error?.code == "invalid_tls")
                #expect(
                    error?.description.contains("REGISTRY_CA_FILE is \(path)") == true,
                    "\(String(describing: error))"
                )
            }
        }
    }

    @Test func identityTokenBuysATokenForTheRepository() async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: TarBuilder().finished())
            let registry = try ScriptedRegistry { request, _ in
                if request.path == "/token" {
                    let form = String(decoding: request.body, as: UTF8.self)
                    guard form.contains("grant_type=refresh_token"), form.contains("refresh_token=id%2Btoken"),
                        form.contains("scope=repository:app:pull")
                    else { return .init(status: 401) }
                    return .init(body: Array(#"{"access_token":"abc"}"#.utf8))
                }
                guard request.headers["authorization"] == "Bearer abc" else {
                    let realm = "http://\(request.headers["host"] ?? "")/token"
                    return .init(status: 401, headers: ["WWW-Authenticate": #"Bearer realm="\#(realm)",service="s""#])
                }
                return image.response(to: request)
            }
            registry.start()
            defer { registry.stop() }
            _ = try scratch.write(
                Array(#"{"auths":{"\#(registry.host)":{"identitytoken":"id+token"}}}"#.utf8),
                to: "config.json"
            )
            let storage = try scratch.storage(insecureRegistries: [registry.host], dockerConfig: scratch.path)
            _ = try await resolve(registry.host, storage)
        }
    }
}
