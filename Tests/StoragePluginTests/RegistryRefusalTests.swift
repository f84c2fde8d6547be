import AgentCore
import AgentTestSupport
import Foundation
import Subprocess
import SystemPackage
import Testing

@testable import StoragePlugin

@Suite("what is refused, and what is said about it")
struct RegistryRefusalTests {
    private static let layer: [UInt8] = {
        var tar = TarBuilder()
        tar.file("data", Array("contents".utf8))
        return tar.finished()
    }()

    @Test(arguments: [
        ("application/vnd.oci.image.layer.v1.tar", "application/vnd.cncf.helm.config.v1+json", [], "not_an_image"),
        ("application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.empty.v1+json", [], "not_an_image"),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OCI.configurationType,
            ["https://example.test/layer"], "foreign_layer"
        ),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", OCI.configurationType, [], "encrypted_layer"),
    ])
    func imagesThatCannotBeRunAreNamed(layer: String, type: String, urls: [String], code: String) async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: Self.layer, layerType: layer, configurationType: type, urls: urls)
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.kind == .notSupported && error.code == code, "\(error)")
                #expect(error.message.contains("app:1"))
                #expect(urls.allSatisfy { error.message.contains($0) })
            }
            // Neither its configuration nor its layer is asked for.
            #expect(registry.requests.count == 1)
        }
    }

    @Test(arguments: [
        (#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#, "schema 1"),
        (#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[]}"#, "oci.artifact"),
        (#"{}"#, "neither an image nor an index"),
    ])
    func documentsThatAreNoManifestsAreNamed(document: String, words: String) async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { _, _ in .init(body: Array(document.utf8)) }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.code == "invalid_manifest" && error.message.contains(words), "\(error)")
            }
        }
    }

    @Test func manifestThatIsNotWhatItsHeaderSaysIsRefused() async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: Self.layer)
            let registry = try ScriptedRegistry { request, _ in
                var response = image.response(to: request)
                response.headers["Docker-Content-Digest"] = ServedImage.digest(Array("other".utf8))
                return response
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                #expect(try await storage.failure("\(registry.host)/app:1").code == "digest_mismatch")
            }
        }
    }

    @Test(arguments: [
        (401, "docker login"), (403, "does not allow"), (404, "check the name"), (429, "in 3600 seconds"),
        (503, "try again later"),
    ])
    func refusalSaysWhoWhatAndWhatToDo(status: Int, words: String) async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { _, _ in
                .init(status: status, headers: ["Retry-After": "3600"], body: Array("<html>no JSON</html>".utf8))
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure("\(registry.host)/team/app:1")
                #expect(error.message.contains(registry.host) && error.message.contains("team/app:1"), "\(error)")
                #expect(error.message.contains(words), "\(error)")
            }
            #expect(registry.requests.count == 1)
        }
    }

    @Test func nobodyListeningAndNamesThatCannotBeAreToldApart() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage(patience: RegistryPatience(attempts: 2, pause: .milliseconds(1)))
            let refused = try await storage.failure("127.0.0.1:\(try DockerRegistry.freePort())/app:1")
            #expect(refused.kind == .unavailable && refused.code == "registry_refused_connection", "\(refused)")
            // Longer than a label can be, so that no name server is asked.
            let name = String(repeating: "x", count: 70) + ".test"
            let unknown = try await storage.failure("\(name)/app:1")
            #expect(unknown.kind == .unavailable && unknown.code == "registry_unresolved", "\(unknown)")
            #expect(unknown.message.contains(name))
        }
    }

    @Test func certificateThatExpiredIsSaidToBe() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("registry", days: -1)
            try await DockerRegistry.with(scratch, identity: identity) { registry in
                let storage = try scratch.storage(registryAuthorities: authority.certificate)
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.code == "tls_failed" && error.message.contains("expired on"), "\(error)")
            }
        }
    }

    @Test func truncatedTLSIsTakenUp() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("registry")
            var random = SystemRandomNumberGenerator()
            var tar = TarBuilder()
            tar.file("data", (0..<400_000).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } })
            let layout = try await Layout.make([tar.finished()], in: scratch)
            try await DockerRegistry.with(scratch, identity: identity) { registry in
                try await registry.push(layout, as: "app:1")
                // Once during the handshake, and once in the middle of the layer.
                let relay = try TCPRelay(to: registry.port, cuts: [100, 2_000_000])
                try await relay.serving {
                    let storage = try scratch.storage(registryAuthorities: authority.certificate)
                    #expect(try await storage.pull("127.0.0.1:\(relay.port)/app:1").layers.count == 1)
                }
            }
        }
    }

    @Test func redirectFromTLSToPlainHTTPIsRefused() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let identity = try await authority.issue("registry")
            let directory = scratch.appending("v2/app/manifests")
            try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: true)
            let plain = try ScriptedRegistry { _, _ in .init() }
            let answer = "HTTP/1.0 307 Elsewhere\r\nLocation: http://\(plain.host)/x\r\nContent-Length: 0\r\n\r\n"
            _ = try scratch.write(Array(answer.utf8), to: "v2/app/manifests/1")
            try await plain.serving {
                let port = try DockerRegistry.freePort()
                let result = try await run(
                    .name("openssl"),
                    arguments: [
                        "s_server", "-accept", "127.0.0.1:\(port)", "-cert", identity.certificate.string, "-key",
                        identity.key.string, "-HTTP",
                    ],
                    workingDirectory: scratch.path,
                    input: .none,
                    output: .discarded,
                    error: .discarded
                ) { (execution) -> AgentError in
                    let storage = try scratch.storage(
                        // It is also listed, which must not matter.
                        insecureRegistries: [plain.host],
                        registryAuthorities: authority.certificate,
                        // Until it listens.
                        patience: RegistryPatience(
                            attempts: 1000,
                            pause: .milliseconds(10),
                            longestPause: .milliseconds(50)
                        )
                    )
                    do {
                        let error = try await storage.failure("127.0.0.1:\(port)/app:1")
                        try execution.send(signal: .kill)
                        return error
                    } catch {
                        try? execution.send(signal: .kill)
                        throw error
                    }
                }
                #expect(result.closureResult.code == "insecure_redirect", "\(result.closureResult)")
                #expect(plain.requests.isEmpty)
            }
        }
    }
}

@Suite("headers of registries")
struct RegistryHeaderTests {
    @Test func challengesAreReadAsTheyAreWritten() {
        let bearer = AuthenticationChallenge.bearer(
            realm: "https://a/t?x=1,2",
            service: "s",
            scope: "repository:a:pull,push"
        )
        #expect(
            AuthenticationChallenge(headers: [
                #"Basic realm="a, b", Bearer realm="https://a/t?x=1,2",service="s" , scope="repository:a:pull,push""#
            ]) == bearer
        )
        #expect(AuthenticationChallenge(headers: ["Negotiate", "basic realm=x"]) == .basic)
        #expect(
            AuthenticationChallenge(headers: [#"BEARER Realm="a\"b""#])
                == .bearer(realm: #"a"b"#, service: nil, scope: nil)
        )
        for nonsense in ["", "=", "Bearer", "Bearer realm", "Bearer \"", "\u{0}", "Digest realm=x", "===,,,\"\"\""] {
            #expect(AuthenticationChallenge(headers: [nonsense]) == nil, "\(nonsense)")
        }
    }

    @Test func retryAfterIsSecondsOrADate() {
        #expect(RetryAfter.duration("120") == .seconds(120))
        #expect(RetryAfter.duration("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_770) == .seconds(7))
        #expect(RetryAfter.duration("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_790) == .zero)
        for nonsense in ["", "-1", "soon", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov -9999999999 08:49 GMT"] {
            #expect(RetryAfter.duration(nonsense) == nil, "\(nonsense)")
        }
        #expect(RetryAfter.duration(String(repeating: "9", count: 40)).map { $0 > .seconds(1 << 30) } == true)
    }

    @Test func partsAreKeptByAgeAndNothingElseIs() throws {
        let names = [String(repeating: "a", count: 64), String(repeating: "b", count: 64)].map { "partial-\($0)" }
        let directory = FileManager.default.temporaryDirectory.appending(path: "parts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        for name in names + ["blob-x", "partial-x"] { try Data("x".utf8).write(to: directory.appending(path: name)) }
        let old = Date(timeIntervalSinceNow: -4 * 24 * 3600)
        try FileManager.default.setAttributes(
            [.modificationDate: old],
            ofItemAtPath: directory.appending(path: names[0]).path
        )
        let expired = try PartialBlobs.expired(in: FilePath(directory.path))
        #expect(Set(expired) == [names[0], "blob-x", "partial-x"])
    }
}
