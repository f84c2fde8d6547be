import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import Synchronization
import SystemPackage
import Testing

@Suite("downloads that break off, stall, or are taken up again")
struct RegistryResumptionTests {
    private static let image: ServedImage = {
        var tar = TarBuilder()
        tar.file("data", (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 17) })
        return ServedImage(layer: tar.finished())
    }()

    private static func ranges(_ registry: ScriptedRegistry) -> [String?] {
        registry.requests.filter { $0.path == image.layerPath }.map { $0.headers["range"] }
    }

    @Test func resetInTheMiddleOfALayerIsTakenUp() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, before in
                var response = Self.image.response(to: request)
                if request.path == Self.image.layerPath, before == 0 {
                    (response.cut, response.end) = (200_000, .reset)
                }
                return response
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
            }
            #expect(Self.ranges(registry).count == 2)
        }
    }

    @Test func transferThatStallsIsTakenUp() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, before in
                var response = Self.image.response(to: request)
                if request.path == Self.image.layerPath, before == 0 {
                    (response.cut, response.end) = (200_000, .stall)
                }
                return response
            }
            try await registry.serving {
                let patience = RegistryPatience(stall: .seconds(1), attempts: 20, pause: .milliseconds(20))
                let storage = try scratch.storage(insecureRegistries: [registry.host], patience: patience)
                #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
                for await path in registry.abandoned {
                    #expect(path == Self.image.layerPath)
                    break
                }
            }
            #expect(Self.ranges(registry).count >= 2)
            #expect(Self.ranges(registry)[1]?.hasPrefix("bytes=") == true)
        }
    }

    @Test func registryThatStallsForEverIsReported() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, _ in
                var response = Self.image.response(to: request)
                if request.path == Self.image.layerPath { (response.cut, response.end) = (0, .stall) }
                return response
            }
            try await registry.serving {
                let patience = RegistryPatience(stall: .milliseconds(300), attempts: 2, pause: .milliseconds(20))
                let storage = try scratch.storage(insecureRegistries: [registry.host], patience: patience)
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.kind == .unavailable && error.code == "registry_timeout", "\(error)")
            }
        }
    }

    @Test func cancellationClosesTheConnectionAndKeepsWhatIsThere() async throws {
        try await Scratch.with { scratch in
            let registry = try ScriptedRegistry { request, before in
                var response = Self.image.response(to: request)
                if request.path == Self.image.layerPath { (response.cut, response.end) = (200_000, .stall) }
                return response
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let host = registry.host
                let pull = Task { try await storage.pull("\(host)/app:1") }
                for await _ in registry.stalled { break }
                pull.cancel()
                let error = await #expect(throws: AgentError.self) { try await pull.value }
                #expect(error?.kind == .cancelled, "\(String(describing: error))")
                for await path in registry.abandoned {
                    #expect(path == Self.image.layerPath)
                    break
                }
            }
        }
    }

    /// Pulls `app:1` from a registry that gives up in the middle of the layer, with a store that is then closed.
    private func beginning(
        _ scratch: Scratch,
        _ patience: RegistryPatience = RegistryPatience(stall: .seconds(2), attempts: 1)
    )
        async throws
    {
        let registry = try ScriptedRegistry { request, _ in
            var response = Self.image.response(to: request)
            // Of a connection that ends, not all that came has to be passed on by the HTTP client.
            if request.path == Self.image.layerPath { (response.cut, response.end) = (200_000, .stall) }
            return response
        }
        try await registry.serving {
            let storage = try scratch.storage(insecureRegistries: [registry.host], patience: patience)
            let error = try await storage.failure("\(registry.host)/app:1")
            #expect(error.kind == .unavailable, "\(error)")
            #expect(try storage.layers().count == 1)
        }
    }

    @Test func laterLifeOfTheAgentGoesOnWhereTheLastOneEnded() async throws {
        try await Scratch.with { scratch in
            try await beginning(scratch)
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let image = try await storage.pull("\(registry.host)/app:1")
                let layer = try #require(image.layers.first)
                #expect(try Data(contentsOf: URL(filePath: layer.path.string)) == Data(Self.image.layer))
                // Beside it, and the disk that was begun with it, there is nothing.
                #expect(try storage.layers().filter { !$0.hasPrefix("incoming/disk-") }.count == 1)
            }
            #expect(Self.ranges(registry).count == 1)
            #expect(Self.ranges(registry)[0]?.hasPrefix("bytes=") == true, "\(Self.ranges(registry))")
        }
    }

    @Test func partThatWasDamagedMeanwhileIsGotAgain() async throws {
        try await Scratch.with { scratch in
            try await beginning(scratch)
            let incoming = scratch.appending("data").appending("incoming")
            let name = try #require(try FileManager.default.contentsOfDirectory(atPath: incoming.string).first)
            let path = URL(filePath: incoming.appending(name).string)
            var bytes = try Data(contentsOf: path)
            bytes[1000] ^= 1
            try bytes.write(to: path)
            let registry = try ScriptedRegistry { request, _ in Self.image.response(to: request) }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
            }
            let ranges = Self.ranges(registry)
            #expect(
                ranges.count == 2 && ranges.first??.hasPrefix("bytes=") == true && ranges.last == .some(nil),
                "\(ranges)"
            )
        }
    }

    @Test func partsOfWhatNobodyNeedsAreGarbage() async throws {
        try await Scratch.with { scratch in
            try await beginning(scratch)
            let storage = try scratch.storage()
            let digest = try #require(Digest(ServedImage.digest(Self.image.manifest)))
            _ = try await storage.store.removeAll(except: [digest])
            #expect(try storage.layers().count == 1)
            _ = try await storage.store.removeAll(except: [])
            #expect(try storage.files() == [])
        }
    }

    @Test(arguments: ["416", "range", "multipart"])
    func answersThatDoNotGoOnStartAgain(_ fault: String) async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, before in
                guard request.path == image.layerPath else { return image.response(to: request) }
                guard request.headers["range"] != nil else {
                    var response = image.response(to: request)
                    if before == 0 { (response.cut, response.end) = (200_000, .stall) }
                    return response
                }
                return switch fault {
                case "416": .init(status: 416, headers: ["Content-Range": "bytes */100"])
                case "range":
                    .init(
                        status: 206,
                        headers: ["Content-Range": "bytes 100-199/200"],
                        body: Array(image.layer[100..<200])
                    )
                default: .init(status: 206, headers: ["Content-Range": "none"], body: Array("--boundary".utf8))
                }
            }
            try await registry.serving {
                let patience = RegistryPatience(stall: .seconds(2), attempts: 20, pause: .milliseconds(20))
                let storage = try scratch.storage(insecureRegistries: [registry.host], patience: patience)
                #expect(try await storage.pull("\(registry.host)/app:1").layers.count == 1)
            }
            let ranges = Self.ranges(registry)
            #expect(ranges.count >= 3 && ranges[0] == nil && ranges[1]?.hasPrefix("bytes=") == true, "\(ranges)")
            #expect(ranges.last == .some(nil))
        }
    }

    @Test func layerOfOtherContentsIsRefusedAndNothingOfItKept() async throws {
        try await Scratch.with { scratch in
            let image = Self.image
            let registry = try ScriptedRegistry { request, _ in
                var response = image.response(to: request)
                if request.path == image.layerPath { response.body[5000] ^= 1 }
                return response
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.kind == .invalidArgument && error.code == "digest_mismatch", "\(error)")
                #expect(try storage.layers() == [])
            }
            #expect(Self.ranges(registry) == [nil])
        }
    }

    @Test func layerThatIsShorterThanItSaysIsNotAskedForAgain() async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: Self.image.layer, claimedSize: 400_000)
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let error = try await storage.failure("\(registry.host)/app:1")
                #expect(error.code == "digest_mismatch", "\(error)")
            }
            #expect(registry.requests.filter { $0.path == image.layerPath }.count == 1)
        }
    }
}
