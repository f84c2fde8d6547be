import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import StoragePlugin

/// Two layers and the files that they are received into.
private struct Arrivals {
    let image: FetchedImage
    let contents: [[UInt8]]
    let descriptors: [OCI.Descriptor]
    let draft: DiskDraft

    init(_ scratch: Scratch, _ storage: Storage, packedBy program: String? = nil) async throws {
        var lower = TarBuilder()
        lower.file("old", Array("old".utf8))
        lower.file("large", (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) })
        var upper = TarBuilder()
        upper.file(".wh.old")
        upper.file("new", [UInt8](repeating: 7, count: 10_000))
        let tars = [lower.finished(), upper.finished()]
        var contents: [[UInt8]] = []
        for tar in tars {
            let packed = if let program { try await scratch.pack(tar, by: program) } else { tar }
            contents.append(packed)
        }
        let digests = try tars.map { try Digest(of: $0) }
        let paths = try contents.enumerated().map { try scratch.write($1, to: "whole-\($0)") }
        self.contents = contents
        descriptors = try contents.map { OCI.Descriptor(mediaType: nil, digest: try Digest(of: $0), size: $0.count) }
        image = FetchedImage(
            digest: Fixtures.digest("a"),
            configuration: ImageConfiguration(),
            layers: try zip(paths, digests).enumerated().map { index, layer in
                LayerBlob(
                    path: layer.0,
                    compression: try .detect(in: layer.0),
                    size: contents[index].count,
                    diffID: layer.1
                )
            }
        )
        draft = try DiskDraft(
            Array(zip(descriptors, digests)),
            of: image.digest,
            in: storage.store,
            storage.configuration
        )
    }

    func arrival(_ index: Int) throws -> LayerArrival {
        try #require(draft.arrival(of: descriptors[index].digest))
    }

    /// Receives a layer in pieces of any size.
    func receive(_ index: Int, in scratch: Scratch, seed: UInt64 = 1) throws {
        var random = SeededGenerator(seed: seed)
        let path = try scratch.write([], to: "arriving-\(index)")
        let file = try FileHandle(forWritingTo: URL(filePath: path.string))
        let bytes = contents[index]
        let arrival = try arrival(index)
        try arrival.begin(path, count: 0)
        var count = 0
        while count < bytes.count {
            let next = min(bytes.count, count + Int.random(in: 1...200_000, using: &random))
            try file.write(contentsOf: bytes[count..<next])
            count = next
            arrival.advance(to: count)
        }
        arrival.complete()
    }
}

@Suite("root disks that are begun while their layers arrive")
struct DiskDraftTests {
    /// What is in `incoming`: nothing of a draft should be.
    private func incoming(_ storage: Storage) throws -> [String] {
        try storage.files().filter { $0.hasPrefix("incoming/") }
    }

    private func bytes(_ disk: RootDisk) throws -> Data { try Data(contentsOf: URL(filePath: disk.path.string)) }

    @Test(arguments: [nil, "gzip", "zstd"])
    func diskOfLayersThatArriveIsThatOfLayersThatAreThere(_ program: String?) async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage, packedBy: program)
            // The upper one first: it has to wait for its turn.
            try arrivals.receive(1, in: scratch, seed: 2)
            try arrivals.receive(0, in: scratch, seed: 3)
            await storage.store.keep(arrivals.draft, of: arrivals.image.digest)
            let begun = try await storage.builder.build(arrivals.image) { _ in }
            let contents = try bytes(begun)
            #expect(try incoming(storage) == [])
            #expect(storage.store.takeDraft(of: arrivals.image.digest) == nil)
            _ = try await storage.store.removeAll(except: [])
            let anew = try await storage.builder.build(arrivals.image) { _ in }
            #expect(try bytes(anew) == contents)
        }
    }

    @Test func whatWasTakenBackIsNotUsed() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage)
            for index in 0..<2 { try arrivals.receive(index, in: scratch) }
            // After all of it could have been read.
            try arrivals.arrival(1).fail()
            #expect(try await arrivals.draft.finished { _ in } == nil)
            #expect(try incoming(storage) == [])
        }
    }

    @Test func layerThatIsNotVerifiedMakesNoDisk() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage)
            try arrivals.receive(0, in: scratch)
            let path = try scratch.write(arrivals.contents[1], to: "unverified")
            try arrivals.arrival(1).begin(path, count: arrivals.contents[1].count)
            #expect(try await arrivals.draft.finished { _ in } == nil)
            #expect(try incoming(storage) == [])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func draftThatWaitsForALayerEndsWhenItIsDiscarded() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage)
            try arrivals.receive(0, in: scratch)
            await arrivals.draft.discard()
            #expect(try incoming(storage) == [])
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func buildThatIsCancelledEndsItsDraft() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage)
            await storage.store.keep(arrivals.draft, of: arrivals.image.digest)
            let build = Task { try await storage.builder.build(arrivals.image) { _ in } }
            build.cancel()
            let error = await #expect(throws: AgentError.self) { try await build.value }
            #expect(error?.kind == .cancelled, "\(String(describing: error))")
            #expect(try incoming(storage) == [])
        }
    }

    @Test func imageThatIsAbandonedLeavesNoDraft() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let arrivals = try await Arrivals(scratch, storage)
            for index in 0..<2 { try arrivals.receive(index, in: scratch) }
            await storage.store.keep(arrivals.draft, of: arrivals.image.digest)
            await storage.store.abandon(arrivals.image)
            #expect(try incoming(storage) == [])
        }
    }

    /// Half of a layer is in the disk while the registry keeps the rest to itself; a pull that ends leaves none of it.
    @Test(.timeLimit(.minutes(1)))
    func pullWritesTheDiskBeforeItHasAllLayers() async throws {
        try await Scratch.with { scratch in
            var tar = TarBuilder()
            tar.file("large", (0..<8 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let image = ServedImage(layer: tar.finished())
            let registry = try ScriptedRegistry { request, _ in
                var response = image.response(to: request)
                if request.path == image.layerPath { (response.cut, response.end) = (5 << 20, .stall) }
                return response
            }
            try await registry.serving {
                let storage = try scratch.storage(insecureRegistries: [registry.host])
                let host = registry.host
                let pull = Task { try await storage.pull("\(host)/app:1") }
                for await _ in registry.stalled { break }
                while true {
                    let disk = try incoming(storage).first { $0.hasPrefix("incoming/disk-") && !$0.hasSuffix(".tails") }
                    let path = disk.map { storage.configuration.dataDirectory.appending(FilePath($0).components) }
                    if let path, let status = try Files.status(path), status.st_size > 3 << 20 { break }
                    try await Task.sleep(for: .milliseconds(10))
                }
                pull.cancel()
                await #expect(throws: AgentError.self) { try await pull.value }
                #expect(try incoming(storage).filter { !$0.hasPrefix("incoming/partial-") } == [])
            }
        }
    }
}
