import AgentCore
import AgentTestSupport
import GuestProtocol
import Logging
import StoragePlugin
import SystemPackage
import Testing

import struct Foundation.Data
import struct Foundation.Date
import class Foundation.FileManager
import struct Foundation.URL

@Suite("logs in files")
struct FileInstanceLogsTests {
    private func logs(_ scratch: Scratch, maximumSize: Int = 10 << 20, files: Int = 3, data: FilePath? = nil) throws
        -> FileInstanceLogs
    {
        var configuration = try scratch.storage(data: data).configuration
        configuration.logLimits = LogLimits(maximumSize: ByteSize(bytes: maximumSize), maximumFiles: files)
        return try FileInstanceLogs(configuration: configuration, logger: Logger(label: "test"))
    }

    private func directory(_ scratch: Scratch, _ id: InstanceID) -> String {
        scratch.appending("data/instances/\(id)/logs").string
    }

    private func output(_ text: String, at offset: Int, _ stream: OutputStream = .stdout) -> GuestOutput {
        GuestOutput(stream: stream, offset: UInt64(offset), uptimeMicroseconds: 0, bytes: Array(text.utf8))
    }

    private func texts(_ lines: AsyncThrowingStream<LogLine, any Error>) async throws -> [String] {
        var texts: [String] = []
        for try await line in lines { texts.append(String(decoding: line.bytes, as: UTF8.self)) }
        return texts
    }

    @Test func fileIsKubernetesLogFormat() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let time = Date(timeIntervalSince1970: 1_709_210_096.5)
            try await logs(scratch).append(output("hello\nwor", at: 0, .stderr), at: time, to: id, boot: 1)
            let text = try String(contentsOfFile: directory(scratch, id) + "/app.log", encoding: .utf8)
            #expect(
                text == "2024-02-29T12:34:56.500000000Z stderr F hello\n2024-02-29T12:34:56.500000000Z stderr P wor\n"
            )
            let lines = try await logs(scratch).lines(of: id, source: .app, tail: nil, follow: .none).reduce(into: []) {
                $0.append($1)
            }
            #expect(lines.first?.time == time && lines.first?.stream == .stderr)
        }
    }

    /// As after `kill -9` at any byte of a write: the log is longer than the position says.
    @Test func positionIsExactWhereverAWriteWasCutOff() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            try await logs(scratch).append(output("one\n", at: 0), at: Fixtures.time, to: id, boot: 1)
            let path = directory(scratch, id) + "/app.log"
            let complete = try Data(contentsOf: URL(filePath: path))
            let record = Data("2024-02-29T12:34:56.500000000Z stdout F two\n".utf8)
            for cut in stride(from: 0, through: record.count, by: 3) {
                try (complete + record.prefix(cut)).write(to: URL(filePath: path))
                let again = try logs(scratch)
                let position = try await again.outputPosition(of: id, boot: 1)
                #expect(position == 4)
                #expect(try await texts(again.lines(of: id, source: .app, tail: nil, follow: .none)) == ["one"])
            }
            let last = try logs(scratch)
            try await last.append(output("two\n", at: 4), at: Fixtures.time, to: id, boot: 1)
            #expect(try await texts(last.lines(of: id, source: .app, tail: nil, follow: .none)) == ["one", "two"])
        }
    }

    @Test func killInTheMiddleOfARotationLosesNothing() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            try await logs(scratch).append(output("one\n", at: 0), at: Fixtures.time, to: id, boot: 1)
            let path = directory(scratch, id)
            // The file was renamed, and nothing else done.
            try FileManager.default.moveItem(atPath: path + "/app.log", toPath: path + "/app.log.1")
            let again = try logs(scratch)
            #expect(try await again.outputPosition(of: id, boot: 1) == 4)
            try await again.append(output("two\n", at: 4), at: Fixtures.time, to: id, boot: 1)
            #expect(try await texts(again.lines(of: id, source: .app, tail: nil, follow: .none)) == ["one", "two"])
            let third = try logs(scratch)
            #expect(try await third.outputPosition(of: id, boot: 1) == 8)
        }
    }

    @Test func rotationKeepsSoManyFilesAndFollowersMissNothing() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch, maximumSize: 2000, files: 2)
            var follower = await logs.lines(of: id, source: .app, tail: nil, follow: .untilRemoved).makeAsyncIterator()
            var offset = 0
            for index in 0..<300 {
                let text = "line \(index)\n"
                try await logs.append(output(text, at: offset), at: Fixtures.time, to: id, boot: 1)
                offset += text.utf8.count
                let line = try await follower.next()
                #expect(line?.bytes == Array("line \(index)".utf8))
            }
            let names = try FileManager.default.contentsOfDirectory(atPath: directory(scratch, id)).filter {
                $0.hasPrefix("app.log")
            }
            #expect(names.count == 3)
            let kept = try await texts(logs.lines(of: id, source: .app, tail: nil, follow: .none))
            #expect(kept.last == "line 299" && kept.count > 50 && kept.count < 200)
            // A tail over several files.
            let tail = try await texts(logs.lines(of: id, source: .app, tail: 60, follow: .none))
            #expect(tail == (240..<300).map { "line \($0)" })
        }
    }

    @Test func tailReadsOnlyTheEnd() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch, maximumSize: 100 << 20)
            let chunk = Array(repeating: "a line of a log that is long enough to matter\n", count: 20_000).joined()
            for _ in 0..<20 { try await logs.append(Array(chunk.utf8), at: Fixtures.time, to: id, source: .console) }
            try await logs.append(Array("the end\n".utf8), at: Fixtures.time, to: id, source: .console)
            func read() throws -> Int {
                let io = try String(contentsOfFile: "/proc/self/io", encoding: .utf8)
                return io.split(separator: "\n").first { $0.hasPrefix("rchar:") }.flatMap { Int($0.dropFirst(7)) } ?? 0
            }
            let before = try read()
            let tail = try await texts(logs.lines(of: id, source: .console, tail: 10, follow: .none))
            #expect(tail.count == 10 && tail.last == "the end")
            print(
                "tail of a log of \((20 * chunk.utf8.count) >> 20) MiB: \((try read() - before) >> 10) KiB read by all tests meanwhile"
            )
        }
    }

    @Test func wovenStreamsAreToldApartInATail() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch)
            var offset = 0
            for (text, stream) in [
                ("old\n", GuestProtocol.OutputStream.stdout), ("out ", .stdout), ("err\n", .stderr), ("put\n", .stdout),
            ] {
                try await logs.append(output(text, at: offset, stream), at: Fixtures.time, to: id, boot: 1)
                offset += text.utf8.count
            }
            #expect(try await texts(logs.lines(of: id, source: .app, tail: 1, follow: .none)) == ["out put"])
            #expect(try await texts(logs.lines(of: id, source: .app, tail: 2, follow: .none)) == ["err", "out put"])
            #expect(
                try await texts(logs.lines(of: id, source: .app, tail: 3, follow: .none)) == ["old", "err", "out put"]
            )
        }
    }

    @Test func longLineComesInParts() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch)
            let long = String(repeating: "x", count: 100_000)
            try await logs.append(output(long + "\nshort\n", at: 0), at: Fixtures.time, to: id, boot: 1)
            var text = ""
            var parts = 0
            for try await line in await logs.lines(of: id, source: .app, tail: nil, follow: .none) {
                #expect(line.bytes.count <= 32 << 10)
                text += String(decoding: line.bytes, as: UTF8.self) + (line.isPartial ? "" : "\n")
                parts += 1
            }
            #expect(text == long + "\nshort\n" && parts > 4)
        }
    }

    @Test func promptWithoutNewlineReachesAFollower() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch)
            var follower = await logs.lines(of: id, source: .app, tail: nil, follow: .untilRemoved).makeAsyncIterator()
            try await logs.append(output("password: ", at: 0), at: Fixtures.time, to: id, boot: 1)
            let prompt = try await follower.next()
            #expect(prompt?.isPartial == true && prompt?.bytes == Array("password: ".utf8))
            try await logs.append(output("ok\n", at: 10), at: Fixtures.time, to: id, boot: 1)
            let rest = try await follower.next()
            #expect(rest?.isPartial == false && rest?.bytes == Array("ok".utf8))
        }
    }

    @Test func cancelledFollowerEnds() async throws {
        try await Scratch.with { scratch in
            let id = InstanceID.random()
            let logs = try logs(scratch)
            let (began, signal) = AsyncStream.makeStream(of: Void.self)
            try await logs.append(output("one\n", at: 0), at: Fixtures.time, to: id, boot: 1)
            let task = Task {
                for try await _ in await logs.lines(of: id, source: .app, tail: nil, follow: .untilRemoved) {
                    signal.yield()
                }
            }
            var iterator = began.makeAsyncIterator()
            await iterator.next()
            task.cancel()
            try await task.value
        }
    }

    @Test func fullDiskKeepsThePosition() async throws {
        try await withSmallFileSystem(megabytes: 1) { scratch, data in
            let id = InstanceID.random()
            let logs = try logs(scratch, data: data)
            try await logs.append(output("one\n", at: 0), at: Fixtures.time, to: id, boot: 1)
            let large = String(repeating: String(repeating: "y", count: 99) + "\n", count: 20_000)
            let error = await #expect(throws: AgentError.self) {
                try await logs.append(output(large, at: 4), at: Fixtures.time, to: id, boot: 1)
            }
            #expect(error?.kind == .storageFull)
            #expect(try await logs.outputPosition(of: id, boot: 1) == 4)
            try await logs.append(output("two\n", at: 4), at: Fixtures.time, to: id, boot: 1)
            #expect(try await texts(logs.lines(of: id, source: .app, tail: nil, follow: .none)) == ["one", "two"])
        }
    }
}
