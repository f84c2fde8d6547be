import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("registries that fail")
struct RegistryFailureTests {
    private static let image: ServedImage = {
        var tar = TarBuilder()
        tar.file("data", (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 17) })
        return ServedImage(layer: tar.finished())
    }()

    /// Resolves and fetches `app:1`.
    private func pull(
        from registry: ScriptedRegistry,
        insecure: Set<String> = [],
        dockerConfig: FilePath? = nil,
        in scratch: Scratch
    ) async throws -> FetchedImage {
        registry.start()
        defer { registry.stop() }
        let storage = try scratch.storage(
            insecureRegistries: insecure.union([registry.host]),
            dockerConfig: dockerConfig
        )
        do {
            return try await storage.pull("\(registry.host)/app:1")
        } catch {
            #expect(try storage.layers() == [])
            throw error
        }
    }

    @Test func connectionThatBreaksIsTakenUpWhereItBroke() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, before in
                var response = image.response(to: request)
                if request.path == image.layerPath, before == 0 { response.cut = 200_000 }
                return response
            }
            #expect(try await pull(from: registry, in: scratch).layers.count == 1)
            let ranges = registry.requests.filter { $0.path == image.layerPath }.map { $0.headers["range"] }
            #expect(ranges.count == 2 && ranges[1]?.hasPrefix("bytes=") == true, "\(ranges)")
        }
    }

    @Test func registryThatCannotResumeStartsAgain() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, before in
                var plain = request
                plain.headers["range"] = nil
                var response = image.response(to: plain)
                if request.path == image.layerPath, before == 0 { response.cut = 200_000 }
                return response
            }
            #expect(try await pull(from: registry, in: scratch).layers.count == 1)
        }
    }

    @Test func passingFailuresAreTriedAgain() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, before in
                switch before {
                case 0: .init(status: 503)
                case 1: .init(status: 429, headers: ["Retry-After": "0"])
                default: image.response(to: request)
                }
            }
            #expect(try await pull(from: registry, in: scratch).layers.count == 1)
        }
    }

    @Test(arguments: [
        (401, AgentError.Kind.unauthenticated), (403, .permissionDenied), (404, .notFound), (429, .rateLimited),
        (418, .unavailable),
    ])
    func refusalsAreToldApart(status: Int, kind: AgentError.Kind) async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { _, _ in
                .init(
                    status: status,
                    headers: ["Retry-After": "3600", "WWW-Authenticate": "Basic realm=x"],
                    body: Array(#"{"errors":[{"code":"X","message":"the reason"}]}"#.utf8)
                )
            }
            let error = await #expect(throws: AgentError.self) { try await pull(from: registry, in: scratch) }
            #expect(error?.kind == kind)
            #expect(error?.message.contains("the reason") == true, "\(String(describing: error))")
            #expect(registry.requests.count == 1)
        }
    }

    @Test func tokenIsFetchedAndNotShownToAnotherHost() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let storage = try ScriptedRegistry { _, _ in .init(body: image.layer) }
            storage.start()
            defer { storage.stop() }
            let target = storage.host
            let registry = try ScriptedRegistry { request, _ in
                if request.path.hasPrefix("/token") {
                    return .init(body: Array(#"{"token":"abc","expires_in":300}"#.utf8))
                }
                guard request.headers["authorization"] == "Bearer abc" else {
                    let realm = "http://\(request.headers["host"] ?? "")/token"
                    return .init(
                        status: 401,
                        headers: [
                            "WWW-Authenticate": #"Bearer realm="\#(realm)",service="s",scope="repository:app:pull""#
                        ]
                    )
                }
                if request.path == image.layerPath {
                    return .init(status: 307, headers: ["Location": "http://\(target)/layer"])
                }
                return image.response(to: request)
            }
            #expect(try await pull(from: registry, insecure: [target], in: scratch).layers.count == 1)
            #expect(
                registry.requests.contains {
                    $0.path.hasPrefix("/token?") && $0.path.contains("scope=repository:app:pull")
                }
            )
            #expect(registry.requests.filter { $0.path.hasPrefix("/token") }.count == 1)
            #expect(storage.requests.map { $0.headers["authorization"] } == [nil])
        }
    }

    @Test func circleOfRedirectsEnds() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in .init(status: 307, headers: ["Location": request.path])
            }
            let error = await #expect(throws: AgentError.self) { try await pull(from: registry, in: scratch) }
            #expect(error?.kind == .unavailable)
            #expect(registry.requests.count < 10)
        }
    }

    @Test func layerThatIsLongerThanItSaysIsCutShort() async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: Self.image.layer, claimedSize: 1000)
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            let error = await #expect(throws: AgentError.self) { try await pull(from: registry, in: scratch) }
            #expect(error?.code == "digest_mismatch")
        }
    }

    @Test func manifestWithoutEndIsRefused() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { _, _ in .init(body: [UInt8](repeating: 32, count: 5 << 20)) }
            let error = await #expect(throws: AgentError.self) { try await pull(from: registry, in: scratch) }
            #expect(error?.code == "invalid_manifest", "\(String(describing: error))")
        }
    }

    @Test func manifestThatIsNoneIsRefused() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { _, _ in .init(body: Array("<html>".utf8)) }
            let error = await #expect(throws: AgentError.self) { try await pull(from: registry, in: scratch) }
            #expect(error?.code == "invalid_manifest" && error?.kind == .invalidArgument)
        }
    }
}
