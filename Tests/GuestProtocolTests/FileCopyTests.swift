import AgentCore
import AgentTestSupport
import CXattr
import Foundation
import Glibc
import GuestProtocol
import SystemPackage
import Tar
import Testing

/// Files over the channel, with hypeman-init's agent at the other end.
@Suite struct FileCopyTests {
    /// An archive with one file.
    private static func archive(_ name: String, _ contents: [UInt8], change: (inout TarMember) -> Void = { _ in })
        -> [UInt8]
    {
        var member = TarMember(file: name, size: contents.count)
        change(&member)
        return member.header + contents + [UInt8](repeating: 0, count: TarMember.padding(after: contents.count))
            + TarMember.end
    }

    private static func read(_ channel: any GuestChannel, _ request: GuestReadRequest) async throws -> [UInt8] {
        var archive: [UInt8] = []
        var isWhole = false
        for try await event in try await channel.readFiles(request) {
            switch event {
            case .bytes(let bytes): archive += bytes
            case .finished: isWhole = true
            }
        }
        #expect(isWhole)
        return archive
    }

    /// Waits for what the guest does by itself.
    private static func eventually(_ condition: () async throws -> Bool) async throws {
        for _ in 0..<600 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("it did not come about")
    }

    private static func names(_ scratch: Scratch) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: scratch.path.string).sorted()
    }

    @Test func ownersRightsTimesAndAttributesGoBothWays() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
                let archive = Self.archive("f", Array("contents".utf8)) { member in
                    (member.mode, member.owner, member.group) = (0o4750, 1234, 2345)
                    member.modified = FileTime(seconds: 1_700_000_000, nanoseconds: 5)
                    member.attributes = [(Array("security.capability".utf8), capability)]
                }
                let input = try await channel.writeFiles(
                    GuestWriteRequest(path: scratch.path.string, keepsOwners: true)
                )
                try await input.write(archive)
                let result = try await input.finish()
                #expect(result.members == 1 && result.bytes == 8 && result.warnings == [])
                let status = try await channel.status(of: GuestPathRequest(path: scratch.appending("f").string))
                #expect(status.mode == 0o4750 && status.owner == 1234 && status.group == 2345 && status.size == 8)
                #expect(status.modifiedSeconds == 1_700_000_000 && status.modifiedNanoseconds == 5)
                #expect(
                    try await Self.read(channel, GuestReadRequest(path: scratch.appending("f").string)).starts(
                        with: archive.dropLast(1024)
                    )
                )

                // Without its owner a file has no rights of its owner's either.
                let other = try await channel.writeFiles(GuestWriteRequest(path: scratch.path.string))
                try await other.write(archive)
                _ = try await other.finish()
                let own = try await channel.status(of: GuestPathRequest(path: scratch.appending("f").string))
                #expect(own.mode == 0o750 && own.owner == Int(getuid()))
                await channel.close()
            }
        }
    }

    @Test func sixtyFourMebibytesGoBothWaysAndHolesStayHoles() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                var generator = SeededGenerator(seed: 11)
                let block = generator.bytes(1 << 20)
                let input = try await channel.writeFiles(GuestWriteRequest(path: scratch.path.string))
                try await input.write(TarMember(file: "large", size: 64 << 20).header)
                for _ in 0..<64 { try await input.write(block) }
                try await input.write(TarMember.end)
                #expect(try await input.finish().bytes == 64 << 20)
                let large = try await Self.read(channel, GuestReadRequest(path: scratch.appending("large").string))
                #expect(large.prefix(512).elementsEqual(TarMember(file: "large", size: 64 << 20).header))
                #expect(large.count == 64 << 20 + 512 + 1024)
                for start in stride(from: 512, to: 64 << 20, by: block.count) {
                    #expect(Array(large[start..<(start + block.count)]) == block)
                }

                // 4 GiB of which 8 KiB are something.
                let sparse = scratch.appending("sparse")
                let file = try FileDescriptor.open(sparse, .writeOnly, options: .create, permissions: .ownerReadWrite)
                try file.closeAfter {
                    try file.writeAll(toAbsoluteOffset: 3 << 30, repeatElement(7, count: 8192))
                    #expect(ftruncate(file.rawValue, 4 << 30) == 0)
                }
                let archive = try await Self.read(channel, GuestReadRequest(path: sparse.string, name: "copy"))
                #expect(archive.count < 64 << 10)
                let back = try await channel.writeFiles(GuestWriteRequest(path: scratch.path.string))
                try await back.write(archive)
                _ = try await back.finish()
                var status = stat()
                #expect(lstat(scratch.appending("copy").string, &status) == 0)
                #expect(status.st_size == 4 << 30 && status.st_blocks * 512 < 1 << 20)
                await channel.close()
            }
        }
    }

    @Test func whatIsWrongIsSaidWithPathAndReason() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                let missing = scratch.appending("missing").string
                let file = try scratch.write([1], to: "file").string
                #expect(try await channel.status(of: GuestPathRequest(path: missing)).kind == nil)
                let below = await #expect(throws: AgentError.self) {
                    try await channel.status(of: GuestPathRequest(path: file + "/below"))
                }
                #expect(below?.code == "not_a_directory" && below?.message.contains(file) == true)
                let read = await #expect(throws: AgentError.self) {
                    try await Self.read(channel, GuestReadRequest(path: missing))
                }
                #expect(read?.kind == .notFound && read?.message.contains(missing) == true)
                for (path, code) in [(missing, "path_not_found"), (file, "not_a_directory")] {
                    let input = try await channel.writeFiles(GuestWriteRequest(path: path))
                    let error = await #expect(throws: AgentError.self) {
                        // Told in the midst of it: nobody sends all of a large archive for nothing.
                        while true { try await input.write([UInt8](repeating: 0, count: 512)) }
                    }
                    #expect(error?.code == code && error?.message.contains(path) == true)
                }
                let climbing = try await channel.writeFiles(GuestWriteRequest(path: scratch.path.string))
                let error = await #expect(throws: AgentError.self) {
                    try await climbing.write(Self.archive("../escaped", [1]))
                    _ = try await climbing.finish()
                }
                #expect(error?.kind == .invalidArgument)
                #expect(try Self.names(scratch) == ["file"])
                await channel.close()
            }
        }
    }

    @Test func whoLeavesInTheMidstLeavesNoHalf() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                for leaves in [true, false] {
                    let input = try await channel.writeFiles(GuestWriteRequest(path: scratch.path.string))
                    try await input.write(Self.archive("whole", [1, 2, 3]).dropLast(1024))
                    try await input.write(TarMember(file: "half", size: 1 << 30).header)
                    try await input.write([UInt8](repeating: 1, count: 1 << 20))
                    try await Self.eventually { try Self.names(scratch).count == 2 }
                    if leaves {
                        await input.cancel()
                    } else {
                        // A serial port does not tell the guest that nobody is there any more; the next session does.
                        await channel.close()
                        await (try await guest.connect()).close()
                    }
                    try await Self.eventually { try Self.names(scratch) == ["whole"] }
                }
            }
        }
    }

    @Test func aGuestReadsNoFasterThanItIsListenedToAndStopsWithItsListener() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                let file = scratch.appending("large")
                let descriptor = try FileDescriptor.open(
                    file,
                    .writeOnly,
                    options: .create,
                    permissions: .ownerReadWrite
                )
                try descriptor.closeAfter { _ = try descriptor.writeAll(repeatElement(1, count: 16 << 20)) }
                var streams: [AsyncThrowingStream<GuestArchiveEvent, any Error>] = []
                for _ in 0..<16 {
                    let stream = try await channel.readFiles(GuestReadRequest(path: file.string))
                    var iterator = stream.makeAsyncIterator()
                    #expect(try await iterator.next() != nil)
                    streams.append(stream)
                }
                // All of them wait with most of their file unread, and other calls go on.
                let busy = await #expect(throws: AgentError.self) {
                    try await channel.readFiles(GuestReadRequest(path: file.string))
                }
                #expect(busy?.kind == .busy)
                streams = []
                try await Self.eventually {
                    do {
                        return try await Self.read(channel, GuestReadRequest(path: file.string)).count > 16 << 20
                    } catch let error as AgentError where error.kind == .busy {
                        return false
                    }
                }
                await channel.close()
            }
        }
    }

    @Test func aGuestThatIsStillStartingHasNoFilesYet() async throws {
        try await LoopbackGuest.with(acceptsCommands: false) { guest in
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) {
                try await channel.status(of: GuestPathRequest(path: "/"))
            }
            #expect(error?.kind == .invalidState)
            await channel.close()
        }
    }

    @Test func aSingleFileOfUnknownSizeIsThereWholeOrNot() async throws {
        try await LoopbackGuest.with { guest in
            try await Scratch.with { scratch in
                let channel = try await guest.connect()
                let name = String(scratch.appending("a/b/file").string.dropFirst())
                let file = GuestWriteRequest.File(name: name, mode: 0o600, owner: 12, group: 34)
                let request = GuestWriteRequest(path: "/", keepsOwners: true, file: file)
                let input = try await channel.writeFiles(request)
                for _ in 0..<3 { try await input.write(Array("part ".utf8)) }
                #expect(try await input.finish().bytes == 15)
                let path = scratch.appending("a/b/file").string
                #expect(FileManager.default.contents(atPath: path) == Data("part part part ".utf8))
                let status = try await channel.status(of: GuestPathRequest(path: path))
                #expect(status.mode == 0o600 && status.owner == 12 && status.group == 34)
                let other = try await channel.writeFiles(request)
                try await other.write(Array("other".utf8))
                await other.cancel()
                try await Self.eventually {
                    try FileManager.default.contentsOfDirectory(atPath: scratch.appending("a/b").string) == ["file"]
                }
                #expect(FileManager.default.contents(atPath: path) == Data("part part part ".utf8))
                await channel.close()
            }
        }
    }
}
