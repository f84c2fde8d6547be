import AgentTestSupport
import CXattr
import Foundation
import Glibc
import SystemPackage
import Tar
import TarTree
import Testing

/// What is archived and unpacked again is the same, by our own hands and by GNU tar's.
@Suite struct RoundTripTests {
    @Test func everythingOfATreeSurvives() async throws {
        try await Scratch.with { scratch in
            let tree = try SampleTree.make(in: scratch)
            let target = try scratch.directory("target")
            var options = TreeExtractor.Options()
            (options.keepsOwners, options.keepsPrivileges, options.makesDevices) = (true, true, true)
            let archive = try Archives.of(tree.string, as: "copy")
            let summary = try Archives.unpack(archive, into: target, options)
            #expect(summary.warnings.messages == [])
            try SampleTree.expectSame(tree, target.appending("copy"))
            let holes = target.appending("copy").appending("sparse")
            #expect(try SampleTree.allocated(holes) < 1 << 20, "the holes are holes again")
        }
    }

    @Test func gnuTarReadsOurArchives() async throws {
        try await Scratch.with { scratch in
            let tree = try SampleTree.make(in: scratch)
            let target = try scratch.directory("target")
            let archive = try scratch.write(try Archives.of(tree.string, as: "copy"), to: "a.tar")
            try await tool(
                "tar",
                [
                    "--extract", "--file", archive.string, "--numeric-owner", "--same-permissions", "--xattrs",
                    "--xattrs-include=*", "-C", target.string,
                ]
            )
            try SampleTree.expectSame(tree, target.appending("copy"))
            #expect(try SampleTree.allocated(target.appending("copy").appending("sparse")) < 1 << 20)
        }
    }

    @Test(arguments: [
        ["--format=gnu"], ["--format=oldgnu"], ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"], ["--format=posix", "--sparse-version=1.0"],
    ])
    func weReadGNUTarsFilesWithHoles(format: [String]) async throws {
        try await Scratch.with { scratch in
            let tree = try scratch.directory("tree")
            // More pieces than the header of GNU's own format has room for, and than one block behind it.
            let file = tree.appending("sparse")
            try SampleTree.writeSparse(file, size: 64 << 20, pieces: (0..<60).map { $0 << 20 })
            try SampleTree.writeSparse(tree.appending("empty"), size: 1 << 20, pieces: [])
            let archive = scratch.appending("a.tar")
            try await tool(
                "tar",
                ["--create", "--sparse"] + format + ["--file", archive.string, "-C", tree.string, "."]
            )
            let target = try scratch.directory("target")
            _ = try Archives.unpack([UInt8](try Data(contentsOf: URL(filePath: archive.string))), into: target)
            for name in ["sparse", "empty"] {
                let (source, copy) = (tree.appending(name), target.appending(name))
                #expect(FileManager.default.contentsEqual(atPath: source.string, andPath: copy.string))
                #expect(try SampleTree.allocated(copy) <= SampleTree.allocated(source) + 4096)
            }
        }
    }

    @Test func whoWantsWholeFilesGetsNeitherLinksNorHoles() async throws {
        try await Scratch.with { scratch in
            let tree = try scratch.directory("tree")
            try SampleTree.writeSparse(tree.appending("a"), size: 1 << 20, pieces: [0])
            #expect(link(tree.appending("a").string, tree.appending("b").string) == 0)
            let archive = try Archives.of(tree.string, wholeFiles: true)
            let reader = TarReader(Archives.source(archive))
            var sizes: [Int] = []
            while let entry = try reader.next() { if entry.kind == .file { sizes.append(entry.size) } }
            #expect(sizes == [1 << 20, 1 << 20])
        }
    }

    @Test func namesAreBytesOfAnyLength() async throws {
        try await Scratch.with { scratch in
            var tree = try scratch.directory("tree")
            let root = tree
            // A path of 1,300 bytes, whose names are not ASCII.
            for _ in 0..<10 {
                tree = tree.appending(String(repeating: "ü", count: 65))
                #expect(mkdir(tree.string, 0o755) == 0)
            }
            let name = String(repeating: "名", count: 85)
            try Data("x".utf8).write(to: URL(filePath: tree.appending(name).string))
            #expect(symlink(String(repeating: "t/", count: 200), tree.appending("link").string) == 0)
            // A name that is no text in any encoding.
            let odd: [CChar] = [-1, -2, 10, 0]
            let descriptor = openat(open(root.string, O_RDONLY), odd, O_CREAT | O_WRONLY, 0o644)
            #expect(descriptor >= 0)
            close(descriptor)
            let target = try scratch.directory("target")
            _ = try Archives.unpack(try Archives.of(root.string, as: "copy"), into: target)
            let before = try await tool("find", [".", "-printf", "%p %y %l\\0"], in: root)
            let after = try await tool("find", [".", "-printf", "%p %y %l\\0"], in: target.appending("copy"))
            #expect(before.split(separator: "\0").sorted() == after.split(separator: "\0").sorted())
        }
    }

    @Test func whatTheKernelMakesUpIsReadToItsEnd() throws {
        let archive = try Archives.of("/proc/self/status", as: "status")
        let reader = TarReader(Archives.source(archive))
        let entry = try #require(try reader.next())
        #expect(entry.size > 100, "the file says that it is empty")
        #expect(String(decoding: try reader.contents(), as: UTF8.self).hasPrefix("Name:"))
    }

    @Test func aLinkIsItselfOrWhatItLeadsTo() async throws {
        try await Scratch.with { scratch in
            let file = try scratch.write([1, 2, 3], to: "file")
            let link = scratch.appending("link").string
            #expect(symlink(file.string, link) == 0)
            let asLink = TarReader(Archives.source(try Archives.of(link)))
            #expect(try asLink.next()?.kind == .symbolicLink)
            let directory = try scratch.directory("directory")
            #expect(symlink(directory.string, scratch.appending("way").string) == 0)
            let asDirectory = TarReader(Archives.source(try Archives.of(scratch.appending("way").string + "/")))
            #expect(try asDirectory.next()?.kind == .directory)
            let asFile = TarReader(Archives.source(try Archives.of(link, followsLink: true)))
            let entry = try #require(try asFile.next())
            #expect(entry.kind == .file && entry.name == Array("link".utf8) && entry.size == 3)
        }
    }

    @Test func whatIsNotThereIsSaidWithItsPath() async throws {
        try await Scratch.with { scratch in
            let missing = scratch.appending("missing").string
            let failure = #expect(throws: TreeFailure.self) { try Archives.of(missing) }
            #expect(failure?.reason == .notFound && failure?.message.contains(missing) == true)
            let file = try scratch.write([1], to: "file")
            let noDirectory = #expect(throws: TreeFailure.self) { try Archives.of(file.string + "/") }
            #expect(noDirectory?.reason == .notDirectory)
            let nowhere = #expect(throws: TreeFailure.self) { try Archives.unpack([], into: scratch.appending("no")) }
            #expect(nowhere?.reason == .notFound)
            let onFile = #expect(throws: TreeFailure.self) { try Archives.unpack([], into: file) }
            #expect(onFile?.reason == .notDirectory)
        }
    }
}
