import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import StoragePlugin

@Suite("volumes")
struct DirectoryVolumeStoreTests {
    private static func withStore(
        limits: ImageLimits = ImageLimits(),
        _ body: (DirectoryVolumeStore, Scratch) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            let configuration = try scratch.storage(limits: limits).configuration
            try await body(try DirectoryVolumeStore(configuration: configuration), scratch)
        }
    }

    /// Makes a volume of an archive, and returns its disk, which e2fsck has found nothing wrong with.
    @discardableResult
    private static func make(
        _ archive: [UInt8],
        size: ByteSize = .mebibytes(64),
        in store: DirectoryVolumeStore
    ) async throws -> FilePath {
        let path = try await store.newArchiveFile()
        try Data(archive).write(to: URL(filePath: path.string))
        let id = VolumeID.random()
        try await store.create(id, size: size, from: path)
        try await store.discard(path)
        let disk = try await store.open(id, readOnly: false)
        try await tool("e2fsck", ["-fn", disk.string])
        return disk
    }

    private static func debug(_ disk: FilePath, _ command: String) async throws -> String {
        try await tool("debugfs", ["-R", command, disk.string])
    }

    private static func left(_ scratch: Scratch) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: scratch.appending("data/volumes").string)
    }

    @Test func anEmptyOneIsSparseAndEmpty() async throws {
        try await Self.withStore { store, _ in
            let id = VolumeID.random()
            try await store.create(id, size: .gibibytes(10), from: nil)
            let disk = try await store.open(id, readOnly: true)
            #expect(try await store.fingerprint(of: id).size == .gibibytes(10))
            #expect(try await store.usage(of: id) < .mebibytes(100))
            try await tool("e2fsck", ["-fn", disk.string])
            let names = try await Self.debug(disk, "ls -p /").split(separator: "\n").map { $0.split(separator: "/") }
            #expect(names.map { String($0.last ?? "") } == [".", ".."], "no lost+found for databases to stumble over")
            #expect(names.first?[1] == "040755")
        }
    }

    @Test func ownersModesTimesLinksAndAttributesAreThoseOfTheArchive() async throws {
        try await Self.withStore { store, _ in
            var tar = TarBuilder()
            var root = TarBuilder.Member("./")
            (root.type, root.mode, root.owner, root.group) = ("5", 0o1770, 999, 998)
            tar.append(root)
            tar.directory("deep/er", mode: 0o2750, modified: 1_000)
            var file = TarBuilder.Member("deep/er/file")
            (file.mode, file.owner, file.group, file.modified) = (0o4755, 70_000, 80_000, 5_000_000_000)
            file.nanoseconds = 123_456_789
            file.contents = Array("hello\n".utf8)
            file.attributes = [
                "user.note": Array("kept".utf8),
                "security.capability": [1, 0, 0, 2] + [UInt8](repeating: 0, count: 16),
            ]
            tar.append(file)
            tar.link("hard", to: "deep/er/file", type: "1")
            tar.link("soft", to: "deep/er/file", type: "2")
            tar.link("long", to: String(repeating: "x/", count: 100), type: "2")
            var device = TarBuilder.Member("null")
            (device.type, device.mode, device.device) = ("3", 0o666, (1, 3))
            tar.append(device)
            device.name = "far"
            (device.type, device.device) = ("4", (259, 70_000))
            tar.append(device)
            var pipe = TarBuilder.Member("pipe")
            pipe.type = "6"
            tar.append(pipe)
            tar.file(".wh.looks-like-a-whiteout", [1])
            tar.file("empty")
            let disk = try await Self.make(tar.finished(), in: store)
            try await Scratch.with { mounted in
                try await tool("mount", ["-o", "loop,ro", disk.string, mounted.path.string])
                do {
                    let wanted = """
                        1770 999 998 directory .
                        2750 0 0 directory ./deep/er
                        4755 70000 80000 regular file ./deep/er/file
                        """
                    let found = try await tool(
                        "sh",
                        ["-c", "stat -c '%a %u %g %F %n' . ./deep/er ./deep/er/file"],
                        in: mounted.path
                    )
                    #expect(found == wanted + "\n")
                    let facts = try await tool(
                        "sh",
                        [
                            "-c",
                            """
                            stat -c '%h %y' deep/er/file; readlink soft; readlink long | wc -c; stat -c '%F %t:%T' null far pipe
                            cat deep/er/file .wh.looks-like-a-whiteout | wc -c; stat -c %s empty
                            getfattr --only-values -n user.note hard; echo
                            """,
                        ],
                        in: mounted.path
                    ).split(separator: "\n")
                    #expect(
                        facts == [
                            "2 2128-06-11 08:53:20.123456789 +0000", "deep/er/file", "201",
                            "character special file 1:3", "block special file 103:11170", "fifo 0:0", "7", "0", "kept",
                        ]
                    )
                } catch {
                    try await tool("umount", [mounted.path.string])
                    throw error
                }
                try await tool("umount", [mounted.path.string])
            }
        }
    }

    @Test(arguments: ["gzip", "zstd"]) func compressedArchivesAreTaken(_ program: String) async throws {
        try await Self.withStore { store, scratch in
            var tar = TarBuilder()
            let contents = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
            tar.file("large", contents)
            let plain = scratch.appending("plain")
            try Data(tar.finished()).write(to: URL(filePath: plain.string))
            try await tool(program, ["-k", plain.string])
            let suffix = program == "gzip" ? ".gz" : ".zst"
            let packed = try Data(contentsOf: URL(filePath: plain.string + suffix))
            let disk = try await Self.make(Array(packed), in: store)
            let copy = scratch.appending("copy")
            _ = try await Self.debug(disk, "dump large \(copy)")
            #expect(try Data(contentsOf: URL(filePath: copy.string)) == Data(contents))
        }
    }

    @Test func aLaterEntryTakesThePlaceOfAnEarlierOne() async throws {
        try await Self.withStore { store, scratch in
            var tar = TarBuilder()
            for round in 0..<40 { tar.file("same", [UInt8](repeating: UInt8(round), count: 4 << 20)) }
            tar.file("dir", [1])
            tar.directory("dir")
            tar.file("dir/in", [2])
            // 160 MiB in all, of which no more than 4 are ever in the volume.
            let disk = try await Self.make(tar.finished(), size: .mebibytes(96), in: store)
            let copy = scratch.appending("copy")
            _ = try await Self.debug(disk, "dump same \(copy)")
            #expect(try Data(contentsOf: URL(filePath: copy.string)) == Data(repeating: 39, count: 4 << 20))
        }
    }

    @Test func manyFilesInOneDirectory() async throws {
        try await Self.withStore { store, _ in
            var tar = TarBuilder()
            for number in 0..<5_000 { tar.file("dir/a-file-with-a-longer-name-\(number)") }
            let disk = try await Self.make(tar.finished(), in: store)
            #expect(try await Self.debug(disk, "stat dir/a-file-with-a-longer-name-4999").contains("Type: regular"))
        }
    }

    @Test(arguments: Hostile.allCases) func hostileArchivesAreRefusedAndLeaveNothing(_ hostile: Hostile) async throws {
        let limits = ImageLimits(maximumEntries: 2_000, maximumDepth: 64, freeInflation: .mebibytes(1))
        try await Self.withStore(limits: limits) { store, scratch in
            let archive = try await hostile.archive(scratch)
            let path = try await store.newArchiveFile()
            try Data(archive).write(to: URL(filePath: path.string))
            let error = await #expect(throws: AgentError.self) {
                try await store.create(.random(), size: .mebibytes(32), from: path)
            }
            #expect(error?.kind == .invalidArgument && error?.code == hostile.code, "\(String(describing: error))")
            try await store.discard(path)
            #expect(try Self.left(scratch) == [])
            #expect(!FileManager.default.fileExists(atPath: "/tmp/escaped-from-a-volume"))
        }
    }

    enum Hostile: CaseIterable {
        case absolute, climbing, linkOut, linkUpwards, noSuchLink, cutOff, notTar, empty, bomb, deep, many, tooLarge
        case longTarget, attributes

        var code: String { self == .tooLarge ? "volume_too_small" : "invalid_archive" }

        func archive(_ scratch: Scratch) async throws -> [UInt8] {
            var tar = TarBuilder()
            switch self {
            case .absolute: tar.file("/tmp/escaped-from-a-volume", [1])
            case .climbing: tar.file("a/../../../../tmp/escaped-from-a-volume", [1])
            case .linkOut:
                tar.link("out", to: "../../../../tmp", type: "2")
                tar.file("out/escaped-from-a-volume", [1])
            case .linkUpwards: tar.link("up", to: "../../etc/passwd", type: "1")
            case .noSuchLink: tar.link("a", to: "b", type: "1")
            case .cutOff:
                tar.file("a", [UInt8](repeating: 1, count: 10_000))
                return Array(tar.finished().prefix(5_000))
            case .notTar: return [UInt8](repeating: UInt8(ascii: "a"), count: 3_000)
            case .empty: return []
            case .bomb:
                // All of it behind the end of the archive, where nobody would look for it.
                tar.file("a", [1])
                try Data(tar.finished()).write(to: URL(filePath: scratch.appending("small").string))
                try await tool(
                    "sh",
                    [
                        "-c", "cd \"$1\" && (cat small; head -c 100M /dev/zero) | gzip -9 > bomb", "sh",
                        scratch.path.string,
                    ]
                )
                return Array(try Data(contentsOf: URL(filePath: scratch.appending("bomb").string)))
            case .deep: tar.file(String(repeating: "d/", count: 100) + "f")
            case .many: for number in 0..<3_000 { tar.file("f\(number)") }
            case .tooLarge: tar.file("large", [UInt8](repeating: 7, count: 40 << 20))
            case .longTarget: tar.link("long", to: String(repeating: "x/", count: 2_040), type: "2")
            case .attributes:
                var file = TarBuilder.Member("a")
                file.attributes = ["user.large": [UInt8](repeating: 1, count: 5_000)]
                tar.append(file)
            }
            return tar.finished()
        }
    }

    @Test func aJournalIsReplayedBeforeAVolumeIsOnlyRead() async throws {
        try await Self.withStore { store, _ in
            let id = VolumeID.random()
            try await store.create(id, size: .mebibytes(64), from: nil)
            let disk = try await store.open(id, readOnly: false)
            try await Self.leaveDirty(disk)
            #expect(try Ext4Superblock.needsRecovery(disk))
            #expect(try await store.open(id, readOnly: false) == disk)
            #expect(try Ext4Superblock.needsRecovery(disk), "who may write replays it")
            _ = try await store.open(id, readOnly: true)
            #expect(try !Ext4Superblock.needsRecovery(disk))
            let before = try await store.fingerprint(of: id)
            _ = try await store.open(id, readOnly: true)
            #expect(try await store.fingerprint(of: id) == before)
        }
    }

    /// As a guest leaves it that was killed: a copy of the disk while it is mounted.
    private static func leaveDirty(_ disk: FilePath) async throws {
        try await Scratch.with { mounted in
            let copy = disk.string + ".dirty"
            try await tool("mount", ["-o", "loop", disk.string, mounted.path.string])
            try Data("kept".utf8).write(to: URL(filePath: mounted.appending("file").string))
            try await tool("sync", ["-f", mounted.path.string])
            try await tool("cp", [disk.string, copy])
            try await tool("umount", [mounted.path.string])
            try await tool("mv", [copy, disk.string])
        }
    }

    @Test func aVolumeGrowsWithWhatIsOnIt() async throws {
        try await Self.withStore { store, scratch in
            let id = VolumeID.random()
            let archive = try await store.newArchiveFile()
            var tar = TarBuilder()
            tar.file("kept", Array("hello".utf8), owner: 999)
            try Data(tar.finished()).write(to: URL(filePath: archive.string))
            try await store.create(id, size: .mebibytes(64), from: archive)
            try await store.discard(archive)
            let disk = try await store.open(id, readOnly: false)
            try await Self.leaveDirty(disk)
            try await store.grow(id, to: .gibibytes(1))
            try await tool("e2fsck", ["-fn", disk.string])
            #expect(try await store.fingerprint(of: id).size == .gibibytes(1))
            let names = try await Self.debug(disk, "ls -p /")
            #expect(names.contains("/kept/") && names.contains("/file/") && !names.contains("lost+found"))
            let blocks = try await tool("dumpe2fs", ["-h", disk.string])
            let line = try #require(blocks.split(separator: "\n").first { $0.hasPrefix("Block count") })
            let size = try #require(blocks.split(separator: "\n").first { $0.hasPrefix("Block size") })
            #expect(try Self.number(line) * Self.number(size) == 1 << 30)
            #expect(try Self.left(scratch) == ["\(id).ext4"])
        }
    }

    private static func number(_ line: Substring) throws -> Int {
        try #require(line.split(separator: " ").last.flatMap { Int($0) })
    }

    @Test func whatIsNoFileSystemAnyMoreIsNotGrown() async throws {
        try await Self.withStore { store, scratch in
            let id = VolumeID.random()
            try await store.create(id, size: .mebibytes(64), from: nil)
            let disk = try await store.open(id, readOnly: false)
            // Its superblock and all copies of it.
            try await tool("dd", ["if=/dev/urandom", "of=\(disk)", "bs=1M", "count=64", "conv=notrunc", "status=none"])
            let before = try Data(contentsOf: URL(filePath: disk.string))
            let error = await #expect(throws: AgentError.self) { try await store.grow(id, to: .gibibytes(1)) }
            #expect(error?.code == "volume_damaged", "\(String(describing: error))")
            #expect(try Data(contentsOf: URL(filePath: disk.string)) == before)
            #expect(try Self.left(scratch) == ["\(id).ext4"])
        }
    }

    @Test func aFullDiskIsSaidAndLeavesNothing() async throws {
        try await withSmallFileSystem(megabytes: 24) { scratch, data in
            let store = try DirectoryVolumeStore(configuration: try scratch.storage(data: data).configuration)
            let archive = scratch.appending("archive")
            var tar = TarBuilder()
            tar.file("large", [UInt8](repeating: 7, count: 32 << 20))
            try Data(tar.finished()).write(to: URL(filePath: archive.string))
            let id = VolumeID.random()
            let error = await #expect(throws: AgentError.self) {
                try await store.create(id, size: .mebibytes(256), from: archive)
            }
            #expect(error?.kind == .storageFull, "\(String(describing: error))")
            #expect(try FileManager.default.contentsOfDirectory(atPath: data.appending("volumes").string) == [])
        }
    }
}
