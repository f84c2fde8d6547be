import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("large images and full disks")
struct LimitsTests {
    /// A root filesystem of `files` files of 10 MB each, written without holding it.
    private func rootFilesystem(files: Int, in scratch: Scratch) throws -> FilePath {
        let path = try scratch.write([], to: "large.tar")
        let output = try FileHandle(forWritingTo: URL(filePath: path.string))
        defer { try? output.close() }
        let size = 10 << 20
        var block = Data(count: size)
        for index in 0..<files {
            var tar = TarBuilder()
            tar.appendHeader("file\(index)", type: "0", size: size)
            try output.write(contentsOf: Data(tar.bytes))
            block.withUnsafeMutableBytes { bytes in
                var generator = SeededGenerator(seed: UInt64(index))
                for offset in stride(from: 0, to: size, by: 4096) {
                    bytes.storeBytes(of: generator.next(), toByteOffset: offset, as: UInt64.self)
                }
            }
            try output.write(contentsOf: block)
        }
        try output.write(contentsOf: Data(count: 1024))
        return path
    }

    @Test func importTakesNoMemoryForWhatIsInFiles() async throws {
        try await Scratch.with { scratch in
            let archive = try rootFilesystem(files: 40, in: scratch)
            let memory = try PeakMemory()
            let start = ContinuousClock.now
            let disk = try await scratch.storage().disk(from: archive)
            let grown = try memory.growth()
            print("import of 400 MiB: \(ContinuousClock.now - start), peak memory grew by \(grown >> 20) MiB")
            #expect(disk.size > .mebibytes(400))
            #expect(grown < 200 << 20)
        }
    }

    @Test(arguments: [1, 15, 25])
    func fullDiskIsSaidAndTheNextTrySucceeds(megabytes: Int) async throws {
        try await withSmallFileSystem(megabytes: megabytes) { scratch, data in
            let archive = try rootFilesystem(files: 2, in: scratch)
            let storage = try scratch.storage(data: data)
            let error = await #expect(throws: AgentError.self) { try await storage.disk(from: archive) }
            #expect(error?.kind == .storageFull, "\(String(describing: error))")
            #expect(try storage.files().filter { !$0.hasPrefix("blobs/") } == [])
            try await tool("mount", ["-o", "remount,size=60m", data.string])
            #expect(try await storage.disk(from: archive).size > .mebibytes(20))
        }
    }

    @Test func cancelledBuildLeavesNothing() async throws {
        try await Scratch.with { scratch in
            let archive = try rootFilesystem(files: 10, in: scratch)
            let storage = try scratch.storage()
            let image = try await storage.reader.read(archive, platform: .host) { _ in }
            let (began, signal) = AsyncStream.makeStream(of: Void.self)
            // The build stands still in its first report until it is cancelled, however fast it would be.
            let gate = DispatchSemaphore(value: 0)
            let task = Task {
                try await storage.builder.build(image) { _ in
                    signal.yield()
                    gate.wait()
                    gate.signal()
                }
            }
            var iterator = began.makeAsyncIterator()
            await iterator.next()
            task.cancel()
            gate.signal()
            let error = await #expect(throws: AgentError.self) { try await task.value }
            #expect(error?.kind == .cancelled)
            #expect(try storage.files().filter { !$0.hasPrefix("blobs/") } == [])
        }
    }

    @Test func startRemovesWhatWasCutOff() async throws {
        try await Scratch.with { scratch in
            let storage = try scratch.storage()
            let archive = try await storage.store.newArchiveFile()
            #expect(try storage.files().count == 1)
            _ = try scratch.storage()
            #expect(try storage.files() == [])
            try await storage.store.discard(archive)
        }
    }
}
