import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("mirrors and proxies")
struct RegistryMirrorTests {
    private static let image: ServedImage = {
        var tar = TarBuilder()
        tar.file("data", (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 13) })
        return ServedImage(layer: tar.finished())
    }()

    private static func mirrors(_ registry: ScriptedRegistry, _ mirrors: ScriptedRegistry...) throws -> [RegistryMirror]
    {
        try mirrors.map { try #require(RegistryMirror("\(registry.host)=http://\($0.host)")) }
    }

    @Test func mirrorIsAskedBeforeTheRegistry() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            let mirror = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            try await registry.serving {
                try await mirror.serving {
                    let storage = try scratch.storage(mirrors: try Self.mirrors(registry, mirror))
                    #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                }
            }
            #expect(registry.requests.isEmpty)
            #expect(mirror.requests.allSatisfy { $0.path.hasSuffix("?ns=\(registry.host)") })
        }
    }

    @Test(arguments: [404, 500, 401, 200])
    func registryIsAskedForWhatAMirrorDoesNotHave(status: Int) async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            // One that answers 200 has other contents.
            let mirror = try ScriptedRegistry { _, _ in .init(status: status, body: Array("{}".utf8)) }
            try await registry.serving {
                try await mirror.serving {
                    let storage = try scratch.storage(
                        insecureRegistries: [registry.host],
                        mirrors: try Self.mirrors(registry, mirror)
                    )
                    #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                }
            }
            // One that does not answer is not asked for each part anew.
            #expect(status != 500 || mirror.requests.count == 2)
            #expect(!registry.requests.isEmpty)
        }
    }

    @Test func layerThatAMirrorBreaksOffIsFinishedByTheRegistry() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            let mirror = try ScriptedRegistry { request, _ in
                var response = image.response(to: request)
                guard request.path.hasPrefix(image.layerPath) else { return response }
                guard request.headers["range"] == nil else { return .init(status: 503) }
                (response.cut, response.end) = (50_000, .stall)
                return response
            }
            try await registry.serving {
                try await mirror.serving {
                    let storage = try scratch.storage(
                        insecureRegistries: [registry.host],
                        mirrors: try Self.mirrors(registry, mirror),
                        patience: RegistryPatience(stall: .seconds(2), pause: .milliseconds(20))
                    )
                    #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                }
            }
            #expect(registry.requests.count == 1)
            #expect(registry.requests.first?.headers["range"]?.hasPrefix("bytes=") == true)
        }
    }

    @Test func layerThatAMirrorSpoiledIsGotFromTheRegistry() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            let mirror = try ScriptedRegistry { request, _ in
                var response = image.response(to: request)
                if request.path.hasPrefix(image.layerPath) { response.body[9] ^= 1 }
                return response
            }
            try await registry.serving {
                try await mirror.serving {
                    let storage = try scratch.storage(
                        insecureRegistries: [registry.host],
                        mirrors: try Self.mirrors(registry, mirror)
                    )
                    #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                }
            }
            #expect(registry.requests.map(\.path) == [image.layerPath])
        }
    }

    @Test func credentialsForTheRegistryAreNotShownToAMirror() async throws {
        try await Scratch.with { scratch in
            let challenge: ScriptedRegistry.Response = .init(
                status: 401,
                headers: ["WWW-Authenticate": "Basic realm=x"]
            )
            let registry = try ScriptedRegistry { request, _ in
                request.headers["authorization"] == nil ? challenge : Self.image.response(to: request)
            }
            let mirror = try ScriptedRegistry { _, _ in challenge }
            try await registry.serving {
                try await mirror.serving {
                    let storage = try scratch.storage(
                        insecureRegistries: [registry.host],
                        mirrors: try Self.mirrors(registry, mirror)
                    )
                    let mine = RegistryCredentials.password(user: "me", password: "secret")
                    #expect(try await storage.pull("\(registry.host)/app:1", credentials: mine).layers.count == 1)
                }
            }
            #expect(mirror.requests.allSatisfy { $0.headers["authorization"] == nil })
            #expect(registry.requests.contains { $0.headers["authorization"] != nil })
        }
    }

    @Test func proxyOpensATunnelToNamesThatOnlyItKnows() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            let login = Data("us%er:pass".utf8).base64EncodedString()
            let proxy = try TCPRelay(to: registry.port, isProxy: true, authorization: "Basic \(login)")
            try await registry.serving {
                try await proxy.serving {
                    let name = "registry.test:5000"
                    let url = try #require(ProxyConfiguration.Proxy("http://us%25er:pass@127.0.0.1:\(proxy.port)"))
                    let storage = try scratch.storage(
                        insecureRegistries: [name],
                        proxies: ProxyConfiguration(http: url)
                    )
                    #expect(try await storage.pull("\(name)/app:1").layers.count == 1)
                }
            }
            #expect(!proxy.requests.isEmpty)
            #expect(proxy.requests.allSatisfy { $0 == "CONNECT registry.test:5000 HTTP/1.1" }, "\(proxy.requests)")
            #expect(registry.requests.allSatisfy { $0.headers["proxy-authorization"] == nil })
        }
    }

    @Test func proxyThatWantsALoginIsToldApart() async throws {
        try await Scratch.with { scratch in
            let proxy = try TCPRelay(to: 1, isProxy: true, authorization: "Basic of somebody else")
            try await proxy.serving {
                let url = try #require(ProxyConfiguration.Proxy("127.0.0.1:\(proxy.port)"))
                let storage = try scratch.storage(proxies: ProxyConfiguration(https: url))
                let error = try await storage.failure("registry.test/app:1")
                #expect(error.kind == .unavailable && error.code == "proxy_unauthorized", "\(error)")
            }
        }
    }

    @Test func thisHostIsReachedWithoutAProxy() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            let proxy = try TCPRelay(to: registry.port, isProxy: true)
            try await registry.serving {
                try await proxy.serving {
                    let url = try #require(ProxyConfiguration.Proxy("127.0.0.1:\(proxy.port)"))
                    let storage = try scratch.storage(
                        insecureRegistries: [registry.host],
                        proxies: ProxyConfiguration(http: url)
                    )
                    #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                }
            }
            #expect(proxy.requests.isEmpty)
        }
    }
}
