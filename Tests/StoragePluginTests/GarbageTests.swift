import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import StoragePlugin

/// Removal of what nobody needs, beside work under way.
@Suite("garbage collection")
struct GarbageTests {
    private func archive(_ text: String, in scratch: Scratch) throws -> FilePath {
        var tar = TarBuilder()
        tar.file("data", Array(text.utf8))
        return try scratch.write(tar.finished(), to: "\(text).tar")
    }

    @Test func anImageThatWasReadAndIsNotKnownYetKeepsAllItsParts() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let image = try await storage.reader.read(try archive("one", in: scratch), platform: .host) { _ in }
            let before = try storage.files()
            #expect(before.count == 3, "a layer, a configuration and a manifest: \(before)")
            #expect(try await storage.store.removable(except: []).bytes == 0)
            #expect(try await storage.store.removeAll(except: []).bytes == 0)
            #expect(try storage.files() == before)
            _ = try await storage.builder.build(image) { _ in }
            #expect(try storage.files().count == 3, "a disk, a configuration and a manifest")
            _ = try await storage.store.removeAll(except: [])
            #expect(try storage.files() == [])
        }
    }

    @Test func whatIsGivenUpByATaskThatWasCancelledIsRemoved() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let archive = try await storage.store.newArchiveFile()
            let image = try await storage.reader.read(try self.archive("one", in: scratch), platform: .host) { _ in }
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                try await storage.store.discard(archive)
                await storage.store.abandon(image)
            }
            task.cancel()
            try await task.value
            #expect(try storage.layers() == [])
        }
    }

    @Test func anImageThatIsNotBuiltAfterAllLeavesNothing() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let image = try await storage.reader.read(try archive("one", in: scratch), platform: .host) { _ in }
            await storage.store.abandon(image)
            _ = try await storage.store.removeAll(except: [])
            #expect(try storage.files() == [])
        }
    }

    @Test func layersThatTwoImagesWantStayUntilBothHaveThem() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let path = try archive("one", in: scratch)
            let first = try await storage.reader.read(path, platform: .host) { _ in }
            let second = try await storage.reader.read(path, platform: .host) { _ in }
            await storage.store.abandon(first)
            _ = try await storage.store.removeAll(except: [second.digest])
            #expect(FileManager.default.fileExists(atPath: second.layers[0].path.string))
            _ = try await storage.builder.build(second) { _ in }
        }
    }

    @Test func aLeasedBlobStaysAndOthersGo() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let (leased, other) = (try Digest(of: [1]), try Digest(of: [2]))
            storage.store.lease(leased)
            for (digest, byte) in [(leased, UInt8(1)), (other, 2)] {
                let file = try BlobFile(in: storage.store)
                try [byte].withUnsafeBytes { try file.append($0) }
                try file.keep(as: digest)
            }
            #expect(try await storage.store.removeAll(except: []).bytes > 0)
            #expect(try storage.files() == ["blobs/sha256/\(leased.hex)"])
        }
    }
}
