import AgentCore
import AgentTestSupport
import Crypto
import Foundation
import StoragePlugin
import Synchronization
import SystemPackage
import Testing

@Suite("logins at registries")
struct RegistryLoginTests {
    private static let image: ServedImage = {
        var tar = TarBuilder()
        tar.file("data", Array("contents".utf8))
        return ServedImage(layer: tar.finished())
    }()

    private static func challenge(_ request: ScriptedRegistry.Request, scope: String) -> ScriptedRegistry.Response {
        let realm = "http://\(request.headers["host"] ?? "")/token"
        return .init(
            status: 401,
            headers: [
                "WWW-Authenticate":
                    #"Basic realm="x, y", Bearer realm="\#(realm)",service="s",scope="\#(scope)",error="invalid_token""#
            ]
        )
    }

    @Test func passwordOfOneCallIsUsedForItAlone() async throws {
        try await Scratch.with { scratch in
            let wanted = "Basic " + Data("me:geheim".utf8).base64EncodedString()
            let registry = try ScriptedRegistry { request, _ in
                request.headers["authorization"] == wanted
                    ? Self.image.response(to: request)
                    : .init(status: 401, headers: ["WWW-Authenticate": "Basic realm=x"])
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let name = try ImageReference("\(registry.host)/app:1")
                try await storage.withClient { client in
                    let mine = RegistryCredentials.password(user: "me", password: "geheim")
                    _ = try await client.resolve(name, platform: .host, credentials: mine)
                    for (other, words) in [
                        (nil, "wants a login"),
                        (RegistryCredentials.password(user: "me", password: "wrong"), "refuses the user"),
                    ] {
                        let error = await #expect(throws: AgentError.self) {
                            try await client.resolve(name, platform: .host, credentials: other)
                        }
                        #expect(error?.kind == .unauthenticated && error?.code == "registry_unauthorized")
                        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
                        #expect(error?.message.contains(registry.host) == true)
                        #expect(error?.message.contains("app:1") == true)
                        #expect(!"\(String(reflecting: error))".contains("wrong"))
                    }
                }
            }
        }
    }

    @Test func registryTokenIsShownAsItIs() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in
                request.headers["authorization"] == "Bearer given"
                    ? Self.image.response(to: request) : Self.challenge(request, scope: "repository:app:pull")
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let token = RegistryCredentials.registryToken("given")
                #expect(try await storage.pull("\(registry.host)/app:1", credentials: token).layers.count == 1)
            }
            #expect(!registry.requests.contains { $0.path.hasPrefix("/token") })
        }
    }

    @Test func tokenThatExpiresDuringAPullIsRenewed() async throws {
        try await Scratch.with { scratch in
            let issued = Mutex(0)
            let image = Self.image
            let registry = try ScriptedRegistry { request, _ in
                if request.path.hasPrefix("/token") {
                    let number = issued.withLock { number in
                        number += 1
                        return number
                    }
                    return .init(body: Array(#"{"token":"t\#(number)","expires_in":300}"#.utf8))
                }
                // The first one is not good for the layer any more.
                let valid = request.path == image.layerPath ? ["Bearer t2"] : ["Bearer t1", "Bearer t2"]
                guard valid.contains(request.headers["authorization"] ?? "") else {
                    return Self.challenge(request, scope: "repository:app:pull,push repository:base:pull")
                }
                return image.response(to: request)
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
            }
            let tokens = registry.requests.filter { $0.path.hasPrefix("/token") }
            #expect(tokens.count == 2)
            #expect(
                tokens.allSatisfy { $0.path.contains("scope=repository:app:pull,push&scope=repository:base:pull") },
                "\(tokens.map(\.path))"
            )
        }
    }

    @Test func tokenServiceThatRefusesIsUnauthenticated() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in
                request.path.hasPrefix("/token")
                    ? .init(status: 401) : Self.challenge(request, scope: "repository:app:pull")
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure(
                    "\(registry.host)/app:1",
                    credentials: .password(user: "me", password: "wrong")
                )
                #expect(error.kind == .unauthenticated && error.message.contains("refuses the user"), "\(error)")
            }
            #expect(registry.requests.count == 2)
        }
    }

    /// Debian's registry with tokens that it verifies itself: their signature, audience, time and scope.
    @Test func tokensAreThoseThatADistributionRegistryWants() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("tokens")
            let issuer = try TokenIssuer(identity)
            let service = try ScriptedRegistry { request, _ in
                let login = "Basic " + Data("tester:secret".utf8).base64EncodedString()
                guard request.headers["authorization"] == login else { return .init(status: 401) }
                let query = URLComponents(string: request.path)?.queryItems ?? []
                let scopes = query.filter { $0.name == "scope" }.compactMap(\.value)
                guard let token = try? issuer.token(scopes: scopes) else { return .init(status: 500) }
                return .init(body: Array(#"{"token":"\#(token)"}"#.utf8))
            }
            try await service.serving {
                let section = """
                    auth:
                      token:
                        realm: http://\(service.host)/token
                        service: registry
                        issuer: tests
                        rootcertbundle: \(authority.certificate)

                    """
                var tar = TarBuilder()
                tar.file("data", Array("contents".utf8))
                let layout = try await Layout.make([tar.finished()], in: scratch)
                try await DockerRegistry.with(scratch, authentication: section) { registry in
                    try await registry.push(layout, as: "team/app:1", options: ["--dest-creds", "tester:secret"])
                    let storage = try scratch.storage(insecureRegistries: [registry.host])
                    let refused = try await storage.failure("\(registry.host)/team/app:1")
                    #expect(refused.kind == .unauthenticated, "\(refused)")
                    let image = try await storage.pull(
                        "\(registry.host)/team/app:1",
                        credentials: .password(user: "tester", password: "secret")
                    )
                    #expect(image.layers.count == 1)
                }
            }
        }
    }
}

/// Signs tokens as distribution's token specification wants them (JWT, ES256, with the certificate in the header).
private struct TokenIssuer: Sendable {
    private let key: P256.Signing.PrivateKey
    private let certificate: String

    init(_ identity: CertificateAuthority.Identity) throws {
        key = try P256.Signing.PrivateKey(
            pemRepresentation: String(contentsOf: URL(filePath: identity.key.string), encoding: .utf8)
        )
        certificate = try String(contentsOf: URL(filePath: identity.certificate.string), encoding: .utf8)
            .split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
    }

    func token(scopes: [String]) throws -> String {
        let access = scopes.map { scope -> [String: Any] in
            let parts = scope.split(separator: ":").map(String.init)
            return ["type": parts[0], "name": parts[1], "actions": parts[2].split(separator: ",").map(String.init)]
        }
        let now = Int(Date().timeIntervalSince1970)
        let claims: [String: Any] = [
            "iss": "tests", "sub": "tester", "aud": "registry", "exp": now + 300, "nbf": now - 60, "iat": now,
            "jti": "1", "access": access,
        ]
        let header: [String: Any] = ["typ": "JWT", "alg": "ES256", "x5c": [certificate]]
        let parts = try [header, claims].map { Self.encode(try JSONSerialization.data(withJSONObject: $0)) }
        let text = parts.joined(separator: ".")
        let signature = try key.signature(for: Data(text.utf8)).rawRepresentation
        return "\(text).\(Self.encode(signature))"
    }

    private static func encode(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
