import AgentTestSupport
import CXattr
import Foundation
import Glibc
import SystemPackage
import Tar
import TarTree
import Testing

/// Archives in memory, for tests.
enum Archives {
    static func of(
        _ path: String,
        followsLink: Bool = false,
        as name: String? = nil,
        wholeFiles: Bool = false,
        staysOnFileSystem: Bool = false,
        leavingOut leftOut: Set<String> = []
    ) throws -> [UInt8] {
        var archive: [UInt8] = []
        let archiver = TreeArchiver(
            wholeFiles: wholeFiles,
            staysOnFileSystem: staysOnFileSystem,
            leavingOut: leftOut
        ) { archive += $0 }
        try archiver.archive(path, followsLink: followsLink, as: name)
        return archive
    }

    @discardableResult
    static func unpack(
        _ archive: [UInt8],
        into directory: FilePath,
        _ options: TreeExtractor.Options = .init()
    ) throws -> TreeExtractor.Summary {
        try TreeExtractor(into: directory.string, options).extract(source(archive))
    }

    static func source(_ bytes: [UInt8]) -> any ChunkSource {
        let queue = ChunkQueue(limit: .max) {}
        _ = queue.offer(bytes)
        queue.finish()
        return QueueSource(queue)
    }

    /// Members one after the other, each with its contents, and the archive's end.
    static func made(_ members: [(TarMember, [UInt8])]) -> [UInt8] {
        members.flatMap { member, contents in
            var member = member
            member.size = contents.count
            return member.header + contents + [UInt8](repeating: 0, count: TarMember.padding(after: contents.count))
        } + TarMember.end
    }

    static func file(_ name: String, _ contents: String) -> (TarMember, [UInt8]) {
        (TarMember(Array(name.utf8)), Array(contents.utf8))
    }

    static func link(_ name: String, to target: String, _ kind: TarMember.Kind = .symbolicLink) -> (TarMember, [UInt8])
    {
        var member = TarMember(Array(name.utf8))
        (member.kind, member.linkName) = (kind, Array(target.utf8))
        return (member, [])
    }

    static func directory(_ name: String, mode: UInt16 = 0o755) -> (TarMember, [UInt8]) {
        var member = TarMember(Array((name + "/").utf8))
        (member.kind, member.mode) = (.directory, mode)
        return (member, [])
    }
}

extension Scratch {
    /// Makes a directory in it.
    func directory(_ name: String) throws -> FilePath {
        let path = appending(name)
        guard mkdir(path.string, 0o755) == 0 else { throw Errno(rawValue: errno) }
        return path
    }
}

/// A tree with one of everything.
enum SampleTree {
    static func make(in scratch: Scratch) throws -> FilePath {
        let root = try scratch.directory("tree")
        func path(_ name: String) -> String { root.pushing(FilePath(name)).string }
        func check(_ result: Int32, _ what: String) throws {
            guard result == 0 else { throw ToolFailure(description: "\(what): \(Errno(rawValue: errno))") }
        }
        try Data("small".utf8).write(to: URL(filePath: path("file")))
        try Data().write(to: URL(filePath: path("empty")))
        try Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }).write(to: URL(filePath: path("large")))
        try writeSparse(root.appending("sparse"), size: 64 << 20, pieces: [1 << 20, 33 << 20])
        try check(link(path("large"), path("hard")), "link")
        try check(symlink("file", path("soft")), "symlink")
        try check(symlink("/nowhere/at/all", path("dangling")), "symlink")
        try check(mkfifo(path("fifo"), 0o600), "fifo")
        try check(mknod(path("null"), S_IFCHR | 0o666, makeDevice(1, 3)), "device")
        try check(mkdir(path("closed"), 0o755), "directory")
        try Data("in".utf8).write(to: URL(filePath: path("closed/inside")))
        let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        try check(chown(path("file"), 1234, 2345), "owner")
        try check(chown(path("closed"), 70_000, 4_000_000_000), "owner")
        try check(lchown(path("soft"), 12, 34), "owner")
        try check(chmod(path("file"), 0o4751), "mode")
        try check(chmod(path("empty"), 0), "mode")
        try check(setxattr(path("large"), "security.capability", capability, capability.count, 0), "capability")
        try check(setxattr(path("file"), "user.note=%", "a\n=b", 4, 0), "attribute")
        try check(setxattr(path("closed"), "trusted.empty", "", 0, 0), "attribute")
        // Before 1970, and to the nanosecond.
        try setTime(path("file"), -2, 750_000_000)
        try setTime(path("soft"), 1_000_000_000, 1)
        try setTime(path("closed/inside"), 1_700_000_000, 999_999_999)
        try check(chmod(path("closed"), 0o3555), "mode")
        try setTime(path("closed"), 1_600_000_000, 123_456_789)
        return root
    }

    /// Compares two trees, the time of the roots included.
    static func expectSame(
        _ one: FilePath,
        _ other: FilePath,
        at location: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let differences = try TreeSnapshot(of: one).differences(from: try TreeSnapshot(of: other))
        #expect(differences == [], sourceLocation: location)
    }

    static func setTime(_ path: String, _ seconds: Int, _ nanoseconds: Int) throws {
        let time = timespec(tv_sec: seconds, tv_nsec: nanoseconds)
        guard utimensat(AT_FDCWD, path, [time, time], AT_SYMLINK_NOFOLLOW) == 0 else { throw Errno(rawValue: errno) }
    }

    /// A file of holes with 5,000 bytes at each of some places.
    static func writeSparse(_ path: FilePath, size: Int, pieces: [Int]) throws {
        let file = try FileDescriptor.open(path, .writeOnly, options: .create, permissions: [.ownerReadWrite])
        try file.closeAfter {
            for offset in pieces {
                try file.writeAll(
                    toAbsoluteOffset: Int64(offset),
                    repeatElement(UInt8(truncatingIfNeeded: offset >> 20 | 1), count: 5_000)
                )
            }
            guard ftruncate(file.rawValue, size) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// The bytes that a file takes on its disk.
    static func allocated(_ path: FilePath) throws -> Int {
        var status = stat()
        guard lstat(path.string, &status) == 0 else { throw Errno(rawValue: errno) }
        return status.st_blocks * 512
    }

    /// makedev(3), which is a macro.
    private static func makeDevice(_ major: UInt64, _ minor: UInt64) -> dev_t { dev_t(major << 8 | minor) }
}
