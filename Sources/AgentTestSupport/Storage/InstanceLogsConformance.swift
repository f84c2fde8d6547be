public import AgentCore
import GuestProtocol

/// What every ``InstanceLogs`` must do; each function makes its own through `make`.
public struct InstanceLogsConformance: Sendable {
    private let make: @Sendable () throws -> any InstanceLogs

    /// - Parameter make: Logs of no instance yet.
    public init(make: @escaping @Sendable () throws -> any InstanceLogs) { self.make = make }

    private func output(_ text: String, at offset: UInt64, _ stream: OutputStream = .stdout) -> GuestOutput {
        GuestOutput(stream: stream, offset: offset, uptimeMicroseconds: 0, bytes: Array(text.utf8))
    }

    private func texts(_ lines: AsyncThrowingStream<LogLine, any Error>) async throws -> [String] {
        var texts: [String] = []
        for try await line in lines {
            texts.append(
                "\(line.stream.rawValue) \(String(decoding: line.bytes, as: UTF8.self))\(line.isPartial ? "…" : "")"
            )
        }
        return texts
    }

    /// Lines come back whole and by stream, however they were cut on the way.
    public func keepsLinesWhole() async throws {
        let logs = try make()
        let id = InstanceID.random()
        try await logs.append(output("on", at: 0), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("err 1\n", at: 2, .stderr), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("e\ntwo\nth", at: 8), at: Fixtures.time, to: id, boot: 1)
        let found = try await texts(logs.lines(of: id, source: .app, tail: nil, follow: .none))
        try require(
            Set(found) == ["stdout one", "stderr err 1", "stdout two", "stdout th…"] && found.last == "stdout th…",
            "each stream's lines are whole and the unfinished one is marked, got \(found)"
        )
    }

    /// The position is that of the last byte taken in; what comes twice is ignored, what is missing is said.
    public func countsEveryByteOnce() async throws {
        let logs = try make()
        let id = InstanceID.random()
        try require(try await logs.outputPosition(of: id, boot: 1) == 0, "an unknown boot is at 0")
        try await logs.append(output("one\ntwo\n", at: 0), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("two\nthree\n", at: 4), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("one\n", at: 0), at: Fixtures.time, to: id, boot: 1)
        try require(try await logs.outputPosition(of: id, boot: 1) == 14, "the position is the end of what came")
        try await logs.append(output("later\n", at: 20), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("again\n", at: 0), at: Fixtures.time, to: id, boot: 2)
        try require(try await logs.outputPosition(of: id, boot: 2) == 6, "a new boot counts from 0")
        let found = try await texts(logs.lines(of: id, source: .app, tail: nil, follow: .none))
        try require(
            found == [
                "stdout one", "stdout two", "stdout three", "stderr [hypeman: 6 bytes of output were lost]",
                "stdout later", "stdout again",
            ],
            "got \(found)"
        )
    }

    /// A tail is the last lines, and no more than there are.
    public func tailIsTheLastLines() async throws {
        let logs = try make()
        let id = InstanceID.random()
        let text = (1...50).map { "line \($0)\n" }.joined()
        try await logs.append(Array(text.utf8), at: Fixtures.time, to: id, source: .console)
        for count in [0, 1, 7, 50, 80] {
            let found = try await texts(logs.lines(of: id, source: .console, tail: count, follow: .none))
            let expected = (1...50).suffix(count).map { "stdout line \($0)" }
            try require(found == expected, "tail \(count) is \(expected.count) lines, got \(found.count)")
        }
    }

    /// A reader that does not follow, or whose run is over, ends where the log ended then, however fast it is written.
    public func readingEndsAlthoughWritingGoesOn() async throws {
        let logs = try make()
        let text = (1...50).map { "line \($0)\n" }.joined()
        for follow in [LogFollowing.none, .until {}] {
            let id = InstanceID.random()
            try await logs.append(Array(text.utf8), at: Fixtures.time, to: id, source: .vmm)
            var count = 0
            for try await _ in await logs.lines(of: id, source: .vmm, tail: nil, follow: follow) {
                count += 1
                try require(count < 10_000, "reading ends")
                try await logs.append(Array("more\nand more\n".utf8), at: Fixtures.time, to: id, source: .vmm)
            }
            if case .none = follow { try require(count == 50, "what was there is read, got \(count) lines") }
        }
    }

    /// Following begins with what is there, goes on with what comes, and ends with the instance.
    public func followingEndsWithTheInstance() async throws {
        let logs = try make()
        let id = InstanceID.random()
        try await logs.append(output("first\n", at: 0), at: Fixtures.time, to: id, boot: 1)
        var lines = await logs.lines(of: id, source: .app, tail: nil, follow: .untilRemoved).makeAsyncIterator()
        var found = [try await lines.next()?.bytes]
        try await logs.append(output("second\n", at: 6), at: Fixtures.time, to: id, boot: 1)
        found.append(try await lines.next()?.bytes)
        try require(found == [Array("first".utf8), Array("second".utf8)], "old and new lines come in order")
        try await logs.remove(id)
        try require(try await lines.next() == nil, "removal ends the stream")
        try await logs.remove(id)
    }

    /// Following ends when the run does that is followed, with all that was written by then and nothing else.
    public func followingEndsWithTheRun() async throws {
        let logs = try make()
        let id = InstanceID.random()
        let text = (1...200).map { "line \($0)\n" }.joined() + "no end"
        let end = OneShot<Void>()
        let followed = await logs.lines(of: id, source: .app, tail: nil, follow: .until { try? await end.wait() })
        try await logs.append(output(text, at: 0), at: Fixtures.time, to: id, boot: 1)
        end.fulfil(())
        // Its reader begins only now, and still misses nothing.
        let found = try await bytes(followed)
        try require(found == Array(text.utf8), "got \(found.count) of \(text.utf8.count) bytes")
        let late = await logs.lines(of: id, source: .app, tail: 1, follow: .until {})
        try require(try await texts(late) == ["stdout no end…"], "a run that has ended is what there is")
        let none = await logs.lines(of: .random(), source: .app, tail: nil, follow: .until {})
        try require(try await texts(none) == [], "a run that wrote nothing has no lines, and no error")
    }

    /// Whoever follows from now on is given the line that has no end yet, and all that comes, whenever they read it.
    public func followingFromNowOnBeginsWithTheUnfinishedLine() async throws {
        let logs = try make()
        let id = InstanceID.random()
        try await logs.append(output("old\n", at: 0), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("err\n", at: 4, .stderr), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("log", at: 8), at: Fixtures.time, to: id, boot: 1)
        try await logs.append(output("in: ", at: 11), at: Fixtures.time, to: id, boot: 1)
        let end = OneShot<Void>()
        let followed = await logs.lines(of: id, source: .app, tail: 0, follow: .until { try? await end.wait() })
        try await logs.append(output("root\n", at: 15), at: Fixtures.time, to: id, boot: 1)
        end.fulfil(())
        let found = String(decoding: try await bytes(followed), as: UTF8.self)
        try require(found == "login: root\n", "got '\(found)'")
    }

    /// What the lines were made of.
    private func bytes(_ lines: AsyncThrowingStream<LogLine, any Error>) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        for try await line in lines { bytes += line.isPartial ? line.bytes : line.bytes + [10] }
        return bytes
    }

    /// A log that was never written is told apart from an empty one.
    public func unknownLogIsNotFound() async throws {
        let logs = try make()
        do {
            _ = try await texts(logs.lines(of: .random(), source: .vmm, tail: 10, follow: .none))
            throw ConformanceFailure("the log of an unknown instance was read")
        } catch let error as AgentError {
            try require(
                error.kind == .notFound && error.code == "log_not_found",
                "it is log_not_found, got \(error.code)"
            )
        }
    }
}
