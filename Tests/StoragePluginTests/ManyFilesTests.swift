import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage
import Testing

@Suite("images of very many files")
struct ManyFilesTests {
    /// 200,000 files of a number each: half of them in one directory, the others in a hundred.
    private static func tree(in scratch: Scratch) async throws -> FilePath {
        let tree = scratch.appending("tree")
        let numbers = scratch.appending("numbers")
        func split(_ range: ClosedRange<Int>, into directory: String) async throws {
            let target = tree.appending(directory)
            try FileManager.default.createDirectory(atPath: target.string, withIntermediateDirectories: true)
            try range.map { "\($0)\n" }.joined().write(toFile: numbers.string, atomically: false, encoding: .utf8)
            let options = ["--lines=1", "--numeric-suffixes", "--suffix-length=6"]
            try await tool("split", options + [numbers.string, "\(target)/file"])
        }
        try await split(1...100_000, into: "one")
        for number in 0..<100 { try await split(number * 1000 + 1...(number + 1) * 1000, into: "many-\(number)") }
        return tree
    }

    /// What find(1) says of every file, sorted, in a file.
    private static func listing(of tree: FilePath, in scratch: Scratch) async throws -> FilePath {
        let listing = scratch.appending("listing-\(UUID().uuidString)")
        let format = "%P\t%y\t%m\t%U:%G\t%T@\t%s\t%n\n"
        try await tool("find", [tree.string, "-type", "f", "-fprintf", listing.string, format])
        try await tool("sort", ["--output", listing.string, listing.string])
        return listing
    }

    @Test func twoHundredThousandFilesAreTheSameOnTheDisk() async throws {
        try await Scratch.with { scratch in
            let tree = try await Self.tree(in: scratch)
            let archive = scratch.appending("tree.tar")
            let options = ["--format=pax", "--numeric-owner"]
            try await tool("tar", ["--create", "--file", archive.string] + options + ["-C", tree.string, "."])
            let start = ContinuousClock.now
            let disk = try await scratch.storage().disk(from: archive)
            print("200,000 files: \(ContinuousClock.now - start), a disk of \(disk.size)")
            try await tool("fsck.erofs", [disk.path.string])
            try await withMounted(disk.path, in: scratch) { mounted in
                let listing = try await Self.listing(of: mounted, in: scratch)
                let expected = try await Self.listing(of: tree, in: scratch)
                #expect(try await tool("wc", ["--lines", listing.string]).hasPrefix("200000 "))
                try await tool("cmp", [expected.string, listing.string])
                try await tool("diff", ["--recursive", "--brief", "--no-dereference", tree.string, mounted.string])
            }
        }
    }

    /// A directory that one layer fills is made opaque again and again by the next.
    @Test func repeatedOpaqueMarksCostNoMoreThanAsManyFiles() async throws {
        let count = 20_000
        func layers(_ member: (Int) -> String) -> [[UInt8]] {
            var lower = TarBuilder()
            lower.directory("d")
            for number in 0..<count { lower.file("d/\(number)") }
            var upper = TarBuilder()
            upper.directory("d")
            for number in 0..<count { upper.file(member(number)) }
            return [lower.finished(), upper.finished()]
        }
        func time(_ layers: [[UInt8]]) async throws -> Duration {
            try await Scratch.with { scratch in
                let archive = try await Layout.archive(try await Layout.make(layers, in: scratch), in: scratch)
                let storage = try scratch.storage()
                let start = ContinuousClock.now
                _ = try await storage.disk(from: archive)
                return ContinuousClock.now - start
            }
        }
        let files = try await time(layers { "d/again-\($0)" })
        let marks = try await time(layers { _ in "d/.wh..wh..opq" })
        print("\(count) files: \(files); as many opaque marks: \(marks)")
        // Quadratic, it would be thousands of times as much.
        #expect(marks < files * 10)
    }
}
