public import AgentCore
public import GuestProtocol
import Synchronization

public import struct Foundation.Date

/// The log port in memory.
public final class InMemoryLogs: InstanceLogs {
    private struct Log {
        var lines: [LogLine] = []
        /// The line of each stream that has no end yet.
        var open: [OutputStream: LogLine] = [:]
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
            let lines = state.logs[Key(instance: instance, source: source)]?.lines ?? []
            return lines.map { String(decoding: $0.bytes, as: UTF8.self) }.joined(separator: "\n")
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
        while let end = rest.firstIndex(of: 10) {
            var line = log.open.removeValue(forKey: stream) ?? LogLine(time: time, stream: stream, bytes: [])
            line.bytes += rest[..<end]
            log.lines.append(line)
            rest = rest[(end + 1)...]
        }
        guard !rest.isEmpty else { return }
        log.open[stream, default: LogLine(time: time, stream: stream, bytes: [])].bytes += rest
    }

    public func lines(
        of instance: InstanceID,
        source: LogSource,
        tail: Int?,
        follow: Bool
    ) -> AsyncThrowingStream<LogLine, any Error> {
        let key = Key(instance: instance, source: source)
        let (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let (number, start) = state.withLock { state -> (Int, Int?) in
            state.nextFollower += 1
            if follow { state.followers[key, default: [:]][state.nextFollower] = waker }
            return (state.nextFollower, state.logs[key].map { log in max(0, log.lines.count - (tail ?? .max)) })
        }
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: LogLine.self)
        guard follow || start != nil else {
            let error = AgentError(.notFound, code: "log_not_found", "instance \(instance) has no \(source) log yet")
            continuation.finish(throwing: error)
            return stream
        }
        let reader = Task {
            var next = start ?? 0
            var wake = wakes.makeAsyncIterator()
            while true {
                let lines = state.withLock { Array($0.logs[key]?.lines.dropFirst(next) ?? []) }
                next += lines.count
                for line in lines { continuation.yield(line) }
                guard follow, await wake.next() != nil else { break }
            }
            if !follow {
                for var line in state.withLock({ Array($0.logs[key]?.open.values ?? [:].values) }) {
                    line.isPartial = true
                    continuation.yield(line)
                }
            }
            continuation.finish()
        }
        continuation.onTermination = { [weak self] _ in
            reader.cancel()
            self?.state.withLock { $0.followers[key]?[number] = nil }
        }
        return stream
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
