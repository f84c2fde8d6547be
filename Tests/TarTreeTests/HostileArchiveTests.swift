import AgentTestSupport
import CXattr
import Foundation
import Glibc
import SystemPackage
import Tar
import TarTree
import Testing

/// No archive gets out of its directory, and none leaves half a file.
@Suite struct HostileArchiveTests {
    /// Unpacks into a directory beside one that must stay as it is.
    private static func attack(
        _ members: [(TarMember, [UInt8])],
        prepare: (FilePath) throws -> Void = { _ in },
        _ check: (Result<TreeExtractor.Summary, any Error>, FilePath) throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            let outside = try scratch.directory("outside")
            try Data("untouched".utf8).write(to: URL(filePath: outside.appending("file").string))
            let target = try scratch.directory("target")
            try prepare(target)
            let before = try TreeSnapshot(of: outside)
            let result = Result { try Archives.unpack(Archives.made(members), into: target) }
            #expect(try TreeSnapshot(of: outside).differences(from: before) == [], "nothing outside was touched")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch.path.string).sorted() == [
                    "outside", "target",
                ]
            )
            let left = try FileManager.default.subpathsOfDirectory(atPath: target.string)
            #expect(!left.contains { $0.contains(".hypeman-cp.") }, "no half of a file is left: \(left)")
            try check(result, target)
        }
    }

    private static func reason(_ result: Result<TreeExtractor.Summary, any Error>) -> TreeFailure.Reason? {
        guard case .failure(let failure as TreeFailure) = result else { return nil }
        return failure.reason
    }

    @Test(arguments: ["../outside/file", "a/../../outside/file", "..", "a/.."])
    func namesThatClimbAreRefused(name: String) async throws {
        try await Self.attack([Archives.file(name, "owned")]) { result, _ in
            #expect(Self.reason(result) == .damaged)
            #expect("\(result)".contains("..") == true, "the name is said")
        }
    }

    @Test func absoluteNamesCountFromTheDirectory() async throws {
        try await Self.attack([Archives.file("/tmp/../etc/x", "no")]) { result, _ in
            #expect(Self.reason(result) == .damaged)
        }
        try await Self.attack([Archives.file("//etc/hypeman-test", "here")]) { _, target in
            let path = target.pushing(FilePath("etc/hypeman-test")).string
            #expect(FileManager.default.contents(atPath: path) == Data("here".utf8))
            #expect(!FileManager.default.fileExists(atPath: "/etc/hypeman-test"))
        }
    }

    @Test(arguments: ["../outside", "/tmp", ".."])
    func linksOfTheArchiveLeadNowhereOutside(target: String) async throws {
        try await Self.attack([Archives.link("way", to: target), Archives.file("way/file", "owned")]) { result, _ in
            #expect(Self.reason(result) == .outside)
        }
        try await Self.attack([Archives.link("way", to: target), Archives.directory("way", mode: 0o777)]) { result, _ in
            #expect(Self.reason(result) == .outside)
        }
        // As a file it takes the link's place.
        try await Self.attack([Archives.link("way", to: target), Archives.file("way", "mine")]) { result, directory in
            #expect(throws: Never.self) { try result.get() }
            #expect(FileManager.default.contents(atPath: directory.appending("way").string) == Data("mine".utf8))
        }
    }

    @Test func linksThatWereThereLeadNowhereOutsideEither() async throws {
        try await Self.attack([Archives.file("way/file", "owned")]) { target in
            #expect(symlink("../outside", target.appending("way").string) == 0)
        } _: { result, _ in
            #expect(Self.reason(result) == .outside)
            #expect("\(result)".contains("way"), "the path is said")
        }
        // One that stays inside is a way like any other.
        try await Self.attack([Archives.directory("way"), Archives.file("way/file", "inside")]) { target in
            #expect(mkdir(target.appending("real").string, 0o700) == 0)
            #expect(symlink("real", target.appending("way").string) == 0)
        } _: { result, target in
            #expect(throws: Never.self) { try result.get() }
            #expect(
                FileManager.default.contents(atPath: target.pushing(FilePath("real/file")).string)
                    == Data("inside".utf8)
            )
        }
    }

    @Test(arguments: ["../outside/file", "way/file", "/etc/passwd"])
    func hardLinksStayInside(target: String) async throws {
        let members = [
            Archives.link("way", to: "../outside"), Archives.link("mine", to: target, .hardLink),
            Archives.file("mine", "owned"),
        ]
        try await Self.attack(members) { result, _ in
            #expect([.damaged, .outside, .notFound].contains(Self.reason(result)))
        }
    }

    @Test func aFileIsNeverWrittenThroughItsOtherNames() async throws {
        let members = [
            Archives.file("one", "first"), Archives.link("two", to: "one", .hardLink), Archives.file("two", "second"),
        ]
        try await Self.attack(members) { result, target in
            #expect(throws: Never.self) { try result.get() }
            #expect(FileManager.default.contents(atPath: target.appending("one").string) == Data("first".utf8))
            #expect(FileManager.default.contents(atPath: target.appending("two").string) == Data("second".utf8))
        }
    }

    @Test func directoriesAndFilesDoNotTakeEachOthersPlaces() async throws {
        try await Self.attack([Archives.directory("a"), Archives.file("a/x", "1"), Archives.file("a", "2")]) {
            result,
            _ in
            #expect(Self.reason(result) == .isDirectory)
        }
        try await Self.attack([Archives.file("a", "1"), Archives.directory("a")]) { result, _ in
            #expect(Self.reason(result) == .notDirectory)
        }
        try await Self.attack([Archives.file("a", "1"), Archives.file("a/b", "2")]) { result, _ in
            #expect(Self.reason(result) == .notDirectory)
        }
    }

    @Test func rightsAndNodesAreNotTakenFromStrangers() async throws {
        var program = Archives.file("program", "x")
        program.0.mode = 0o6755
        program.0.owner = 1234
        program.0.attributes = [
            (Array("security.capability".utf8), [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        ]
        var node = Archives.link("node", to: "", .characterDevice)
        node.0.device = (1, 1)
        try await Self.attack([program, node]) { result, target in
            let summary = try result.get()
            #expect(summary.warnings.count == 1, "the node is left out, and said")
            var status = stat()
            #expect(lstat(target.appending("program").string, &status) == 0)
            #expect(status.st_mode & 0o7777 == 0o755 && status.st_uid == getuid())
            #expect(lgetxattr(target.appending("program").string, "security.capability", nil, 0) < 0)
            #expect(lstat(target.appending("node").string, &status) != 0)
        }
    }

    @Test func aTerminalThatShowsAMessageObeysNothing() async throws {
        let name = "a\u{1B}[2J\u{9B}2J\u{7F}\n/../b"
        try await Self.attack([Archives.file(name, "x")]) { result, _ in
            guard case .failure(let failure as TreeFailure) = result else {
                Issue.record("\(result)")
                return
            }
            #expect(failure.message.contains("a?[2J?2J??/../b"), "\(failure.message)")
        }
    }

    @Test func onlyWhatWasAskedForComesIn() async throws {
        try await Scratch.with { scratch in
            var options = TreeExtractor.Options()
            options.onlyBelow = Array("wanted".utf8)
            for members in [
                [Archives.file("other", "x")], [Archives.file("./other", "x")],
                [Archives.link("wanted", to: "other", .hardLink)],
            ] {
                let failure = #expect(throws: TreeFailure.self) {
                    try Archives.unpack(Archives.made(members), into: scratch.path, options)
                }
                #expect(failure?.reason == .outside)
            }
            _ = try Archives.unpack(Archives.made([Archives.file("wanted", "x")]), into: scratch.path, options)
        }
    }

    @Test func whatIsThereStaysUntilTheNewIsWhole() async throws {
        try await Scratch.with { scratch in
            let file = try scratch.write(Array("old".utf8), to: "file")
            let whole = Archives.made([
                Archives.file("other", "done"), Archives.file("file", String(repeating: "n", count: 5_000)),
            ])
            for cut in [1024 + 512, 1024 + 512 + 100, whole.count - 1024] {
                let failure = #expect(throws: TreeFailure.self) {
                    try Archives.unpack(Array(whole[..<cut]), into: scratch.path)
                }
                #expect(failure?.reason == .damaged)
                let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path.string).sorted()
                #expect(names == ["file", "other"])
                if cut < whole.count - 1024 {
                    #expect(FileManager.default.contents(atPath: file.string) == Data("old".utf8))
                }
            }
        }
    }

    @Test func aCopyThatIsGivenUpLeavesNoHalf() async throws {
        try await Scratch.with { scratch in
            let queue = ChunkQueue {}
            var member = TarMember(Array("file".utf8))
            member.size = 1 << 30
            _ = queue.offer(member.header + [UInt8](repeating: 1, count: 100_000))
            let ended = Task {
                try await TreeThread.run {
                    _ = try TreeExtractor(into: scratch.path.string).extract(QueueSource(queue))
                }
            }
            // It has begun when its own name for the file is there.
            while try FileManager.default.contentsOfDirectory(atPath: scratch.path.string).isEmpty {
                await Task.yield()
            }
            queue.cancel()
            await #expect(throws: ChunkQueue.Cancelled.self) { try await ended.value }
            #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path.string) == [])
        }
    }

    @Test func aFullDiskIsSaidAndLeavesNoHalf() async throws {
        try await Scratch.with { scratch in
            let disk = try scratch.directory("disk")
            try await tool("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.string])
            let result = Result {
                try Archives.unpack(
                    Archives.made([
                        Archives.file("small", "x"), Archives.file("large", String(repeating: "x", count: 2 << 20)),
                    ]),
                    into: disk
                )
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: disk.string)
            try await tool("umount", [disk.string])
            #expect(Self.reason(result) == .full)
            #expect("\(result)".contains("large"), "the file is said")
            #expect(left == ["small"])
        }
    }

    @Test func directoriesThatAreThereKeepTheirRights() async throws {
        try await Scratch.with { scratch in
            let there = try scratch.directory("there")
            #expect(chmod(there.string, 0o1777) == 0)
            let members = [Archives.directory("there", mode: 0o700), Archives.file("there/x", "x")]
            _ = try Archives.unpack(Archives.made(members), into: scratch.path)
            var status = stat()
            #expect(lstat(there.string, &status) == 0 && status.st_mode & 0o7777 == 0o1777)
            var options = TreeExtractor.Options()
            options.keepsOwners = true
            _ = try Archives.unpack(Archives.made(members), into: scratch.path, options)
            #expect(lstat(there.string, &status) == 0 && status.st_mode & 0o7777 == 0o700)
        }
    }

    /// Bytes changed at random: whatever comes of it, it stays inside and leaves no half.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func damagedArchivesStayInside(seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        try await Scratch.with { scratch in
            let tree = try SampleTree.make(in: scratch)
            let whole = try Archives.of(tree.string, as: "copy")
            let target = try scratch.directory("target")
            let outside = try TreeSnapshot(of: tree)
            for _ in 0..<150 {
                var archive = whole
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    // Mostly in headers, and with right checksums often enough to get further.
                    let block = Int.random(in: 0..<(archive.count / 512), using: &generator) * 512
                    let byte = block + Int.random(in: 0..<512, using: &generator)
                    archive[byte] = UInt8.random(in: .min ... .max, using: &generator)
                    Self.repairChecksum(&archive, at: block)
                }
                do { _ = try Archives.unpack(archive, into: target) } catch is TreeFailure {}
                let left = try FileManager.default.subpathsOfDirectory(atPath: target.string)
                #expect(!left.contains { $0.contains(".hypeman-cp.") }, "seed \(seed)")
                try await tool("find", [target.string, "-mindepth", "1", "-delete"])
            }
            #expect(try TreeSnapshot(of: tree).differences(from: outside) == [], "seed \(seed)")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch.path.string).sorted() == ["target", "tree"]
            )
        }
    }

    private static func repairChecksum(_ archive: inout [UInt8], at block: Int) {
        guard archive[(block + 257)..<(block + 262)].elementsEqual("ustar".utf8) else { return }
        archive.replaceSubrange((block + 148)..<(block + 156), with: repeatElement(32, count: 8))
        let sum = archive[block..<(block + 512)].reduce(0) { $0 + Int($1) }
        let text = String(sum, radix: 8)
        archive.replaceSubrange(
            (block + 148)..<(block + 155),
            with: Array((String(repeating: "0", count: 6 - text.count) + text + "\0").utf8)
        )
    }
}
