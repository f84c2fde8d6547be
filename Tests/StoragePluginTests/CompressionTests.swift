import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import SystemPackage
import Tar
import Testing

@testable import StoragePlugin

/// Files whose stretches compress well, badly or not at all.
private struct Contents {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func file() -> [UInt8] {
        let edges = [4097, 8191, 8192, 8193, 12_289, 65_535, 65_536, 65_537, 131_072, 1 << 20, 1 << 20 | 1]
        let size = Bool.random(using: &generator) ? edges.randomElement(using: &generator) ?? 1 : int(1...400_000)
        var bytes: [UInt8] = []
        while bytes.count < size { bytes += stretch(int(1...40_000)) }
        return Array(bytes.prefix(size))
    }

    mutating func stretch(_ size: Int) -> [UInt8] {
        switch int(0...4) {
        case 0: return [UInt8](repeating: UInt8(int(0...3)), count: size)
        case 1: return (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }
        case 2:
            let words = (0..<30).map { _ in Array("word\(int(0...100_000)) ".utf8) }
            var text: [UInt8] = []
            while text.count < size { text += words.randomElement(using: &generator) ?? [] }
            return text
        // Little to be gained: near the limit between what is compressed and what is not.
        case 3: return (0..<size).map { _ in UInt8.random(in: 0...100, using: &generator) }
        default: return (0..<size).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 5) }
        }
    }

    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
}

@Suite("compressed root disks")
struct CompressionTests {
    private func bytes(_ path: FilePath) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path.string))) }

    /// Bytes on the host.
    private func allocated(_ disk: RootDisk) throws -> Int { try Files.allocated(disk.path) }

    /// All of a file as our own reader has it, in pieces of any size.
    private func read(_ reader: ErofsReader, _ number: UInt64) throws -> [UInt8] {
        let inode = try reader.inode(number)
        var bytes: [UInt8] = []
        while true {
            let piece = try reader.contents(of: inode, at: bytes.count, upTo: 7777)
            if piece.isEmpty { return bytes }
            bytes += piece
        }
    }

    @Test(arguments: [nil, 1, 2, 3] as [UInt64?])
    func kernelAndReaderSeeTheFilesThatWereCompressed(fixed: UInt64?) async throws {
        let seed = fixed ?? UInt64.random(in: 0...UInt64.max)
        print("compressed files: seed \(seed)")
        try await Scratch.with { scratch in
            var contents = Contents(seed: seed)
            let files = (0..<60).map { ("file-\($0)", contents.file()) }
            var tar = TarBuilder()
            for (name, bytes) in files { tar.file(name, bytes) }
            let storage = try scratch.storage(compression: .lz4)
            let disk = try await storage.disk(from: try scratch.write(tar.finished(), to: "layer.tar"))
            try await tool("fsck.erofs", ["--extract", disk.path.string])
            let reader = try ErofsReader(disk.path)
            let root = try reader.entries(of: try reader.inode(reader.root))
            let numbers = Dictionary(uniqueKeysWithValues: root.map { (String(decoding: $0.name, as: UTF8.self), $0) })
            var compressed = 0
            try await withMounted(disk.path, in: scratch) { mounted in
                for (name, wanted) in files {
                    let file = try FileHandle(forReadingFrom: URL(filePath: mounted.appending(name).string))
                    // Here and there first, so that the kernel has to find its way by the index alone.
                    for _ in 0..<5 {
                        let offset = contents.int(0...wanted.count - 1)
                        try file.seek(toOffset: UInt64(offset))
                        let piece = try file.read(upToCount: 100) ?? Data()
                        #expect(
                            piece.elementsEqual(wanted[offset...].prefix(100)),
                            "seed \(seed): \(name) at \(offset)"
                        )
                    }
                    try file.seek(toOffset: 0)
                    #expect(try file.readToEnd().map { [UInt8]($0) } == wanted, "seed \(seed): \(name)")
                    try file.close()
                    let number = try #require(numbers[name]?.number)
                    #expect(try read(reader, number) == wanted, "seed \(seed): \(name), our reader")
                    if try reader.inode(number).indexOffset != nil { compressed += 1 }
                }
            }
            #expect(compressed > 10, "seed \(seed)")
        }
    }

    @Test func diskIsTheSameHoweverItsLayersComeAndMuchSmaller() async throws {
        try await Scratch.with { scratch in
            var contents = Contents(seed: 4)
            var tar = TarBuilder()
            for index in 0..<40 { tar.file("text-\(index)", Array("line \(index) of many\n".utf8) + contents.file()) }
            tar.file("words", (0..<400_000).flatMap { Array("word \($0 % 1000) ".utf8) })
            let plain = tar.finished()
            var disks: [[UInt8]] = []
            for (name, layer) in [("plain", plain), ("gzip", try await scratch.pack(plain, by: "gzip"))] {
                let storage = try scratch.storage(data: scratch.appending("of-\(name)"), compression: .lz4)
                let archive = OCIArchive(layers: [layer], diffIDs: [ServedImage.digest(plain)])
                disks.append(try bytes(try await storage.disk(from: try scratch.write(archive.bytes(), to: name)).path))
            }
            #expect(disks[0] == disks[1])
            let uncompressed = try await scratch.storage().disk(from: try scratch.write(plain, to: "layer.tar"))
            #expect(disks[0].count < uncompressed.size.bytes * 2 / 3)
        }
    }

    /// Nobody knows before how few blocks a file needs, so those of replaced ones are seldom used again: they are holes.
    @Test func whatWasReplacedTakesNoRoomOnTheHost() async throws {
        try await Scratch.with { scratch in
            let text = (0..<200_000).flatMap { Array("line \($0 % 977)\n".utf8) }
            var layers: [[UInt8]] = []
            for round in 0..<4 {
                var tar = TarBuilder()
                for index in 0..<5 { tar.file("file-\(index)", text + Array("\(round)".utf8)) }
                layers.append(tar.finished())
            }
            let last = try #require(layers.last)
            let storage = try scratch.storage(compression: .lz4)
            let four = try await storage.disk(
                from: try scratch.write(OCIArchive(layers: layers).bytes(), to: "four.tar")
            )
            let one = try await storage.disk(from: try scratch.write(OCIArchive(layers: [last]).bytes(), to: "one.tar"))
            let (ofFour, ofOne) = (try allocated(four), try allocated(one))
            #expect(ofFour <= ofOne + 64 << 10, "\(ofFour) and \(ofOne)")
        }
    }

    @Test func whatIsEmptyOrDoesNotGetSmallerStaysAsItIs() async throws {
        try await Scratch.with { scratch in
            var generator = SeededGenerator(seed: 9)
            var tar = TarBuilder()
            tar.file("random", (0..<300_000).map { _ in UInt8.random(in: 0...255, using: &generator) })
            tar.file("hole", [UInt8](repeating: 0, count: 8 << 20) + [1])
            tar.file("small", Array(repeating: 7, count: 4096))
            let storage = try scratch.storage(compression: .lz4)
            let layer = try scratch.write(tar.finished(), to: "layer.tar")
            let disk = try await storage.disk(from: layer)
            let reader = try ErofsReader(disk.path)
            for entry in try reader.entries(of: try reader.inode(reader.root)) {
                #expect(
                    try reader.inode(entry.number).indexOffset == nil,
                    "\(String(decoding: entry.name, as: UTF8.self))"
                )
            }
            // No feature that a kernel without decompression would refuse.
            #expect(try await scratch.storage(data: scratch.appending("other")).disk(from: layer).size == disk.size)
            #expect(try bytes(disk.path)[(1024 + 80)..<(1024 + 84)].allSatisfy { $0 == 0 })
            #expect(try allocated(disk) < 1 << 20)
        }
    }
}
