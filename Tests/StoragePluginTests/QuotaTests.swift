import AgentCore
import AgentTestSupport
import Foundation
import Logging
import StoragePlugin
import SystemPackage
import Testing

/// MAX_IMAGE_STORAGE on real files.
@Suite("image storage limit")
struct QuotaTests {
    private static let megabyte = 1 << 20

    private func layer(_ megabytes: Int, seed: UInt8 = 17) -> [UInt8] {
        var tar = TarBuilder()
        tar.file("data", (0..<megabytes * Self.megabyte).map { UInt8(truncatingIfNeeded: $0 &* Int(seed) | 1) })
        return tar.finished()
    }

    private func storage(_ scratch: Scratch, limit: Int, insecure: Set<String> = []) throws -> Storage {
        let configuration = StorageConfiguration(
            dataDirectory: scratch.appending("data"),
            insecureRegistries: insecure,
            dockerConfigDirectory: scratch.appending("none"),
            maximumImageStorage: .mebibytes(limit)
        )
        let store = try ContentStore(configuration: configuration)
        return Storage(
            configuration: configuration,
            store: store,
            reader: ArchiveReader(store: store, configuration: configuration),
            builder: ErofsImageBuilder(store: store, configuration: configuration)
        )
    }

    private func expectFull(_ error: AgentError?, limit: String) {
        #expect(error?.kind == .storageFull && error?.code == "image_storage_full", "\(String(describing: error))")
        #expect(error?.message.contains("of the \(limit) that MAX_IMAGE_STORAGE allows") == true)
        #expect(error?.message.contains("hypeman image prune") == true)
    }

    @Test func aPullThatCannotFitIsRefusedBeforeItsLayersAreAskedFor() async throws {
        try await Scratch.with { scratch in
            let image = ServedImage(layer: layer(3))
            let registry = try ScriptedRegistry { request, _ in image.response(to: request) }
            registry.start()
            defer { registry.stop() }
            let storage = try storage(scratch, limit: 2, insecure: [registry.host])
            let client = try RegistryClient(
                configuration: storage.configuration,
                store: storage.store,
                logger: Logger(label: "test")
            )
            let name = try ImageReference("\(registry.host)/app:1")
            let digest = try await client.resolve(name, platform: .host)
            let error = await #expect(throws: AgentError.self) {
                try await client.fetch(name, digest: digest) { _ in }
            }
            try await client.shutdown()
            expectFull(error, limit: "2.0 MB")
            #expect(!registry.requests.contains { $0.path == image.layerPath })
            #expect(try storage.files() == [])
        }
    }

    @Test func aConversionThatReachesTheLimitIsStopped() async throws {
        try await Scratch.with { scratch in
            // Archive and layer fit, their disk does not any more.
            let storage = try storage(scratch, limit: 5)
            let archive = try scratch.write(layer(3), to: "layer.tar")
            let image = try await storage.reader.read(archive, platform: .host) { _ in }
            let error = await #expect(throws: AgentError.self) { try await storage.builder.build(image) { _ in } }
            expectFull(error, limit: "5.0 MB")
            #expect(try await storage.store.rootDisk(of: image.digest) == nil)
            #expect(try await storage.store.usage().incoming.bytes == 0)
            _ = try await storage.store.removeAll(except: [])
            #expect(try storage.files() == [], "nothing is left over")
            // What is small enough goes on.
            _ = try await storage.disk(from: try scratch.write(layer(1), to: "small.tar"))
        }
    }

    @Test func anArchiveThatReachesTheLimitWhileItIsCopiedIsStopped() async throws {
        try await Scratch.with { scratch in
            let storage = try storage(scratch, limit: 2)
            let archive = try scratch.write(layer(3), to: "layer.tar")
            let error = await #expect(throws: AgentError.self) {
                try await storage.reader.read(archive, platform: .host) { _ in }
            }
            expectFull(error, limit: "2.0 MB")
            #expect(try await storage.store.usage().incoming.bytes == 0)
        }
    }

    @Test func roomIsThatOfRealFilesAndComesBackWithThem() async throws {
        try await Scratch.with { scratch in
            let storage = try storage(scratch, limit: 8)
            let disk = try await storage.disk(from: try scratch.write(layer(3), to: "layer.tar"))
            let usage = try await storage.store.usage()
            let allocated = try FileManager.default.attributesOfItem(atPath: disk.path.string)[.size] as? Int ?? 0
            #expect(usage.disks.count == 1 && usage.disks.values.allSatisfy { abs($0.bytes - allocated) <= 65_536 })
            #expect(usage.limit == .mebibytes(8))
            try await storage.store.requireRoom(for: .mebibytes(4))
            let error = await #expect(throws: AgentError.self) {
                try await storage.store.requireRoom(for: .mebibytes(6))
            }
            expectFull(error, limit: "8.0 MB")
            _ = try await storage.store.removeAll(except: [])
            try await storage.store.requireRoom(for: .mebibytes(8))
        }
    }

    @Test func holesTakeNoRoom() async throws {
        try await Scratch.with { scratch in
            let storage = try storage(scratch, limit: 40)
            var tar = TarBuilder()
            tar.file("zeros", [UInt8](repeating: 0, count: 30 * Self.megabyte))
            let path = try scratch.write(tar.finished(), to: "zeros.tar")
            try await tool("gzip", [path.string])
            let disk = try await storage.disk(from: FilePath(path.string + ".gz"))
            #expect(disk.size > .mebibytes(30))
            #expect(try await storage.store.usage().total < .mebibytes(1))
        }
    }
}
