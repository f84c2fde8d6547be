public import AgentCore
public import GuestProtocol
import Synchronization

public import struct Foundation.Date

/// The log port in memory.
public final class InMemoryLogs: InstanceLogs {
    private struct Log {
        /// Lines in the parts in which they were written.
        var parts: [LogLine] = []
    }

    /// Puts lines together, each stream's for itself.
    private struct Assembler {
        private var open: [OutputStream: LogLine] = [:]

        mutating func add(_ part: LogLine) -> LogLine? {
            var line = open.removeValue(forKey: part.stream) ?? LogLine(time: part.time, stream: part.stream, bytes: [])
            line.bytes += part.bytes
            line.isPartial = part.isPartial
            guard part.isPartial else { return line }
            open[part.stream] = line
            return nil
        }

        mutating func unfinished() -> [LogLine] {
            defer { open = [:] }
            return OutputStream.allCases.compactMap { open[$0] }
        }
    }

    private struct Key: Hashable {
        var instance: InstanceID
        var source: LogSource
    }

    private struct State {
        var logs: [Key: Log] = [:]
        var positions: [InstanceID: (boot: Int, position: UInt64)] = [:]
        var followers: [Key: [Int: AsyncStream<Void>.Continuation]] = [:]
        var nextFollower = 0
        var failure: AgentError?
    }

    private let state = Mutex(State())

    public init() {}

    /// Makes every append fail from now on; nil lets them succeed again.
    public func failAppends(with error: AgentError?) { state.withLock { $0.failure = error } }

    /// The whole text of a log, lines joined by newlines.
    public func text(of instance: InstanceID, source: LogSource = .app) -> String {
        state.withLock { state in
            var assembler = Assembler()
            let parts = state.logs[Key(instance: instance, source: source)]?.parts ?? []
            return parts.compactMap { assembler.add($0) }.map { String(decoding: $0.bytes, as: UTF8.self) }
                .joined(separator: "\n")
        }
    }

    public func outputPosition(of instance: InstanceID, boot: Int) async throws -> UInt64 {
        state.withLock { state in
            guard let position = state.positions[instance], position.boot == boot else { return 0 }
            return position.position
        }
    }

    public func append(_ output: GuestOutput, at time: Date, to instance: InstanceID, boot: Int) async throws {
        let followers = try state.withLock { state in
            if let failure = state.failure { throw failure }
            let at = state.positions[instance].flatMap { $0.boot == boot ? $0.position : nil } ?? 0
            let end = output.offset + UInt64(output.bytes.count)
            guard end > at else { return [AsyncStream<Void>.Continuation]() }
            let key = Key(instance: instance, source: .app)
            var bytes = output.bytes[...]
            if output.offset > at {
                let lost = "[hypeman: \(output.offset - at) bytes of output were lost]\n"
                Self.append(Array(lost.utf8), .stderr, time, to: &state.logs[key, default: Log()])
            } else {
                bytes = bytes.dropFirst(Int(at - output.offset))
            }
            Self.append(Array(bytes), output.stream, time, to: &state.logs[key, default: Log()])
            state.positions[instance] = (boot, end)
            return Array(state.followers[key, default: [:]].values)
        }
        for follower in followers { follower.yield() }
    }

    public func append(_ bytes: [UInt8], at time: Date, to instance: InstanceID, source: LogSource) async throws {
        let key = Key(instance: instance, source: source)
        let followers = try state.withLock { state in
            if let failure = state.failure { throw failure }
            Self.append(bytes, .stdout, time, to: &state.logs[key, default: Log()])
            return Array(state.followers[key, default: [:]].values)
        }
        for follower in followers { follower.yield() }
    }

    private static func append(_ bytes: [UInt8], _ stream: OutputStream, _ time: Date, to log: inout Log) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: 10)
            let bytes = Array(rest[..<(end ?? rest.endIndex)])
            log.parts.append(LogLine(time: time, stream: stream, bytes: bytes, isPartial: end == nil))
            rest = end.map { rest[($0 + 1)...] } ?? []
        }
    }

    public func lines(
        of instance: InstanceID,
        source: LogSource,
        tail: Int?,
        follow: LogFollowing
    ) async -> AsyncThrowingStream<LogLine, any Error> {
        let key = Key(instance: instance, source: source)
        let (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: LogLine.self)
        var follows = true
        if case .none = follow { follows = false }
        let (number, first) = state.withLock { [follows] state -> (Int, [LogLine]?) in
            state.nextFollower += 1
            if follows { state.followers[key, default: [:]][state.nextFollower] = waker }
            return (state.nextFollower, state.logs[key]?.parts)
        }
        guard follows || first != nil else {
            let error = AgentError(.notFound, code: "log_not_found", "instance \(instance) has no \(source) log yet")
            continuation.finish(throwing: error)
            return stream
        }
        var assembler = Assembler()
        let complete = (first ?? []).compactMap { assembler.add($0) }
        let unfinished = assembler.unfinished()
        if tail == 0, follows {
            for line in unfinished { continuation.yield(line) }
        } else {
            for line in (complete + unfinished).suffix(tail ?? .max) { continuation.yield(line) }
        }
        guard follows else {
            continuation.finish()
            return stream
        }
        let isOver = OneShot<Void>()
        let reader = Task { [self, next = first?.count ?? 0] in
            await withTaskGroup(of: Bool.self) { group in
                if case .until(let end) = follow {
                    group.addTask {
                        await end()
                        isOver.fulfil(())
                        waker.yield()
                        return false
                    }
                }
                group.addTask {
                    var next = next
                    for await _ in wakes {
                        // In this order: what is there when it is over is still read.
                        let ends = isOver.value != nil
                        let parts = self.state.withLock { Array($0.logs[key]?.parts.dropFirst(next) ?? []) }
                        next += parts.count
                        var assembler = Assembler()
                        for part in parts { if let line = assembler.add(part) { continuation.yield(line) } }
                        for line in assembler.unfinished() { continuation.yield(line) }
                        if ends { break }
                    }
                    return true
                }
                while let isReader = await group.next(), !isReader {}
                group.cancelAll()
            }
            continuation.finish()
        }
        waker.yield()
        continuation.onTermination = { [weak self] _ in
            reader.cancel()
            self?.state.withLock { $0.followers[key]?[number] = nil }
        }
        return stream
    }

    public func usage(of instance: InstanceID) async throws -> ByteSize {
        state.withLock { state in
            let parts = state.logs.filter { $0.key.instance == instance }.values.flatMap(\.parts)
            return ByteSize(bytes: parts.reduce(0) { $0 + $1.bytes.count })
        }
    }

    public func remove(_ instance: InstanceID) async throws {
        let followers = state.withLock { state in
            state.positions[instance] = nil
            var ended: [AsyncStream<Void>.Continuation] = []
            for source in LogSource.allCases {
                let key = Key(instance: instance, source: source)
                state.logs[key] = nil
                ended += state.followers.removeValue(forKey: key).map { Array($0.values) } ?? []
            }
            return ended
        }
        for follower in followers { follower.finish() }
    }
}
