import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("files beyond 32 bits")
struct LargeFileTests {
    private static let size = (4 << 30) + (64 << 20)
    private static let marker = Array("the last bytes".utf8)

    /// A tar with one file of just over 4 GiB that is empty but for its last bytes, compressed piece by piece: frames may
    /// follow one another (RFC 8878, section 3).
    private func archive(in scratch: Scratch) async throws -> FilePath {
        func compressed(_ bytes: [UInt8], _ name: String) async throws -> Data {
            let path = try scratch.write(bytes, to: name)
            try await tool("zstd", ["--quiet", "--rm", "-1", path.string])
            return try Data(contentsOf: URL(filePath: "\(path).zst"))
        }
        let piece = 64 << 20
        var header = TarBuilder()
        header.appendHeader("srv/large", type: "0", size: Self.size)
        let last = [UInt8](repeating: 0, count: piece - Self.marker.count) + Self.marker
        let zeros = try await compressed([UInt8](repeating: 0, count: piece), "zeros")
        var contents = try await compressed(header.bytes, "header")
        for _ in 1..<Self.size / piece { contents += zeros }
        contents += try await compressed(last + [UInt8](repeating: 0, count: 1024), "last")
        return try scratch.write(Array(contents), to: "large.tar")
    }

    @Test func fileOver4GiBIsWholeAndItsHolesTakeNoRoom() async throws {
        try await Scratch.with { scratch in
            let archive = try await archive(in: scratch)
            let storage = try scratch.storage(limits: ImageLimits(freeInflation: .gibibytes(8)))
            let disk = try await storage.disk(from: archive)
            #expect(disk.size > .gibibytes(4))
            try await tool("fsck.erofs", [disk.path.string])
            let said = try await tool("dump.erofs", ["--path=/srv/large", disk.path.string])
            #expect(said.contains("Size: \(Self.size)"), "\(said)")
            let blocks = try await tool("stat", ["-c", "%b", disk.path.string])
            #expect(Int(blocks.dropLast()).map { $0 * 512 < 1 << 20 } == true, "\(blocks) blocks")
            try await withMounted(disk.path, in: scratch) { mounted in
                let file = try FileHandle(forReadingFrom: URL(filePath: mounted.appending("srv/large").string))
                defer { file.closeFile() }
                #expect(file.seekToEndOfFile() == UInt64(Self.size))
                // On both sides of where 32 bits end, and the end itself.
                for offset in [0, (1 << 32) - 16, 1 << 32, Self.size - (1 << 20)] {
                    file.seek(toFileOffset: UInt64(offset))
                    #expect(file.readData(ofLength: 16) == Data(count: 16))
                }
                file.seek(toFileOffset: UInt64(Self.size - Self.marker.count))
                #expect(Array(file.readDataToEndOfFile()) == Self.marker)
            }
        }
    }

    @Test func holesBetweenDataAreWhereTheyWere() async throws {
        try await Scratch.with { scratch in
            var generator = SeededGenerator(seed: 5)
            var contents = [UInt8](repeating: 0, count: 3 << 20)
            for _ in 0..<200 { contents[Int.random(in: 0..<contents.count, using: &generator)] = 7 }
            var lower = TarBuilder()
            lower.file("replaced", [UInt8](repeating: 9, count: 4 << 20))
            var upper = TarBuilder()
            // In the blocks of the file before it, which are not empty.
            upper.file("replaced", [UInt8](repeating: 0, count: 2 << 20) + [1])
            upper.file("holes", contents)
            let layout = try await Layout.make([lower.finished(), upper.finished()], in: scratch)
            let storage = try scratch.storage()
            let disk = try await storage.disk(from: try await Layout.archive(layout, in: scratch))
            try await withMounted(disk.path, in: scratch) { mounted in
                let holes = try Data(contentsOf: URL(filePath: mounted.appending("holes").string))
                #expect(Array(holes) == contents)
                let replaced = try Data(contentsOf: URL(filePath: mounted.appending("replaced").string))
                #expect(
                    replaced.count == (2 << 20) + 1 && replaced.dropLast().allSatisfy { $0 == 0 } && replaced.last == 1
                )
            }
        }
    }
}
