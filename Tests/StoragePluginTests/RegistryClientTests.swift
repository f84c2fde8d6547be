import AgentCore
import AgentTestSupport
import Foundation
import Logging
import StoragePlugin
import SystemPackage
import Testing

@Suite("registry client, against Debian's docker-registry")
struct RegistryClientTests {
    private let logger = Logger(label: "test")

    private static func layers() -> [[UInt8]] {
        var lower = TarBuilder()
        lower.directory("etc")
        lower.file("etc/old", Array("old".utf8))
        lower.file("etc/keep", [UInt8](repeating: 9, count: 100_000))
        var upper = TarBuilder()
        upper.file("etc/.wh.old")
        upper.file("etc/new", Array("new".utf8), mode: 0o4755, owner: 1234)
        return [lower.finished(), upper.finished()]
    }

    private func withClient<T>(_ storage: Storage, _ body: (RegistryClient) async throws -> T) async throws -> T {
        let client = try RegistryClient(configuration: storage.configuration, store: storage.store, logger: logger)
        do {
            let result = try await body(client)
            try await client.shutdown()
            return result
        } catch {
            try await client.shutdown()
            throw error
        }
    }

    @Test(arguments: [[], ["--dest-compress-format", "zstd"], ["--format", "v2s2"]])
    func pulledImageIsTheTreeThatWasPushed(options: [String]) async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            let reference = try TreeSnapshot(of: try await Layout.unpack(layout, in: scratch))
            try await DockerRegistry.with(scratch) { registry in
                try await registry.push(layout, as: "team/app:1", options: options)
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                try await withClient(storage) { client in
                    let name = try ImageReference("\(registry.host)/team/app:1")
                    let digest = try await client.resolve(name, platform: .host)
                    let image = try await client.fetch(name, digest: digest) { _ in }
                    #expect(image.digest == digest)
                    #expect(image.layers.count == 2)
                    let disk = try await storage.builder.build(image) { _ in }
                    let differences = try await withMounted(disk.path, in: scratch) {
                        try TreeSnapshot(of: $0).differences(from: reference).filter { !$0.hasPrefix("/:") }
                    }
                    #expect(differences.isEmpty, "\(differences)")
                    let byDigest = try ImageReference("\(registry.host)/team/app@\(digest)")
                    #expect(try await client.resolve(byDigest, platform: .host) == digest)
                }
            }
        }
    }

    @Test func unknownImagesAndMissingPlatformsAreToldApart() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await tool("umoci", ["config", "--image", "\(layout):image", "--architecture", "s390x"])
            try await DockerRegistry.with(scratch) { registry in
                try await registry.push(layout, as: "app:1")
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                try await withClient(storage) { client in
                    let missing = try ImageReference("\(registry.host)/nothing:1")
                    let notFound = await #expect(throws: AgentError.self) {
                        try await client.resolve(missing, platform: .host)
                    }
                    #expect(notFound?.kind == .notFound)
                    let foreign = try ImageReference("\(registry.host)/app:1")
                    let unsupported = await #expect(throws: AgentError.self) {
                        try await client.resolve(foreign, platform: .host)
                    }
                    #expect(unsupported?.kind == .notSupported)
                }
            }
        }
    }

    @Test func registryWithoutTLSIsRefusedUnlessListed() async throws {
        try await Scratch.with { scratch in
            try await DockerRegistry.with(scratch) { registry in
                try await withClient(try scratch.storage()) { client in
                    let name = try ImageReference("\(registry.host)/app:1")
                    let error = await #expect(throws: AgentError.self) {
                        try await client.resolve(name, platform: .host)
                    }
                    #expect(error?.code == "tls_failed")
                }
            }
        }
    }

    @Test func nobodyListeningIsUnavailable() async throws {
        try await Scratch.with { scratch in
            let host = "127.0.0.1:\(try DockerRegistry.freePort())"
            try await withClient(try scratch.storage(insecureRegistries: [host])) { client in
                let name = try ImageReference("\(host)/app:1")
                let error = await #expect(throws: AgentError.self) { try await client.resolve(name, platform: .host) }
                #expect(error?.kind == .unavailable)
            }
        }
    }

    @Test func passwordComesFromDockersConfiguration() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await DockerRegistry.with(scratch, isProtected: true) { registry in
                try await registry.push(layout, as: "app:1", options: ["--dest-creds", "tester:secret"])
                let name = try ImageReference("\(registry.host)/app:1")
                try await withClient(try scratch.storage(insecureRegistries: [registry.host])) { client in
                    let error = await #expect(throws: AgentError.self) {
                        try await client.resolve(name, platform: .host)
                    }
                    #expect(error?.kind == .unauthenticated)
                }
                let auth = Data("tester:secret".utf8).base64EncodedString()
                let directory = scratch.appending("docker")
                try FileManager.default.createDirectory(atPath: directory.string, withIntermediateDirectories: true)
                _ = try scratch.write(
                    Array(#"{"auths":{"\#(registry.host)":{"auth":"\#(auth)"}}}"#.utf8),
                    to: "docker/config.json"
                )
                let storage = try scratch.storage(insecureRegistries: [registry.host], dockerConfig: directory)
                try await withClient(storage) { client in
                    let digest = try await client.resolve(name, platform: .host)
                    #expect(try await client.fetch(name, digest: digest) { _ in }.layers.count == 2)
                }
            }
        }
    }

    @Test func layerThatIsNotWhatItClaimsLeavesNothing() async throws {
        try await Scratch.with { scratch in
            let layout = try await Layout.make(Self.layers(), in: scratch)
            try await DockerRegistry.with(scratch) { registry in
                try await registry.push(layout, as: "app:1")
                // Damage the largest blob where the registry keeps it: same length, other bytes.
                let blobs = scratch.appending("registry/docker/registry/v2/blobs/sha256").string
                let data = try FileManager.default.subpathsOfDirectory(atPath: blobs).filter { $0.hasSuffix("/data") }
                for path in data {
                    var bytes = try Data(contentsOf: URL(filePath: "\(blobs)/\(path)"))
                    guard bytes.starts(with: [0x1f, 0x8b]) else { continue }
                    bytes[bytes.count / 2] ^= 0xff
                    try bytes.write(to: URL(filePath: "\(blobs)/\(path)"))
                }
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                try await withClient(storage) { client in
                    let name = try ImageReference("\(registry.host)/app:1")
                    let digest = try await client.resolve(name, platform: .host)
                    let error = await #expect(throws: AgentError.self) {
                        try await client.fetch(name, digest: digest) { _ in }
                    }
                    #expect(error?.kind == .invalidArgument && error?.code == "digest_mismatch")
                    // The other layer, which was cancelled on its way, may wait for another try, but not as a blob.
                    #expect(try storage.layers().filter { !$0.hasPrefix("incoming/partial-") } == [])
                }
            }
        }
    }
}
