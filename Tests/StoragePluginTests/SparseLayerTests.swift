import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import StoragePlugin
import SystemPackage
import Tar
import Testing

/// Layers whose files are stored with holes, as `tar -S` does it.
@Suite("layers with sparse files")
struct SparseLayerTests {
    /// A file with data here and there.
    private static func makeFile(_ path: FilePath, size: Int, data: [Int]) throws {
        let file = try FileDescriptor.open(path, .writeOnly, options: [.create], permissions: .ownerReadWrite)
        try file.closeAfter {
            #expect(ftruncate(file.rawValue, size) == 0)
            for offset in data { _ = try file.writeAll(toAbsoluteOffset: Int64(offset), (1...200).map { UInt8($0) }) }
        }
    }

    @Test(
        arguments: [
            ["--format=gnu"], ["--format=posix", "--sparse-version=0.0"], ["--format=posix", "--sparse-version=0.1"],
            ["--format=posix", "--sparse-version=1.0"],
        ],
        RootDiskCompression.allCases
    )
    func filesWithHolesAreWhatTheyWere(format: [String], compression: RootDiskCompression) async throws {
        try await Scratch.with { scratch in
            let tree = scratch.appending("tree")
            try FileManager.default.createDirectory(atPath: tree.string, withIntermediateDirectories: true)
            let files: [(String, Int, [Int])] = [
                ("start", 3 << 20, [0]), ("middle", 3 << 20, [1 << 20, 2 << 20]), ("end", (3 << 20) + 200, [3 << 20]),
                ("none", 5 << 20, []), ("many", 20 << 20, (0..<80).map { $0 * 200_000 }), ("dense", 200, [0]),
            ]
            for (name, size, data) in files { try Self.makeFile(tree.appending(name), size: size, data: data) }
            // GNU's own format has no fractions.
            let times = files.map { tree.appending($0.0).string } + [tree.string]
            try await tool("touch", ["-d", "2001-02-03 04:05:06"] + times)
            let archive = scratch.appending("tree.tar")
            try await tool("tar", format + ["-S", "-C", tree.string, "-cf", archive.string, "."])
            let storage = try scratch.storage(compression: compression)
            let disk = try await storage.disk(from: archive)
            try await tool("fsck.erofs", [disk.path.string])
            let reference = try TreeSnapshot(of: tree)
            let differences = try await withMounted(disk.path, in: scratch) {
                try TreeSnapshot(of: $0).differences(from: reference)
            }
            #expect(differences.isEmpty, "\(differences)")
        }
    }

    /// An entry of a few bytes may say that it is a file of any size, and replace itself as often as it likes.
    @Test(.timeLimit(.minutes(1)))
    func holesCountAgainstTheLimitWhateverBecomesOfThem() async throws {
        try await Scratch.with { scratch in
            var archive: [UInt8] = []
            for _ in 0..<1000 {
                var member = TarMember(Array("same".utf8))
                member.sparse = SparseMap(size: 20 << 20, extents: [])
                archive += member.header
            }
            archive += TarMember.end
            let storage = try scratch.storage(limits: ImageLimits(maximumSize: .mebibytes(100)))
            let path = try scratch.write(archive, to: "bomb.tar")
            let error = await #expect(throws: AgentError.self) { try await storage.disk(from: path) }
            #expect(
                error?.code == "invalid_layer" && error?.message.contains("holes") == true,
                "\(String(describing: error))"
            )
        }
    }

    @Test func partsOfAnImageAreInOnePiece() async throws {
        try await Scratch.with { scratch in
            var archive = TarMember.file("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
            var member = TarMember(Array("index.json".utf8))
            member.sparse = SparseMap(size: 1 << 20, extents: [])
            archive += member.header + TarMember.end
            let path = try scratch.write(archive, to: "image.tar")
            let storage = try scratch.storage()
            let error = await #expect(throws: AgentError.self) { try await storage.disk(from: path) }
            #expect(error?.code == "invalid_archive" && error?.message.contains("holes") == true)
            #expect(try storage.layers() == [])
        }
    }
}
