import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// Logs as server-sent events.
struct LogRoute: Sendable {
    /// A line longer than this comes in several events.
    static let longestLine = 1 << 20

    let instances: any InstanceOperations

    var route: Route {
        Route(.readLogs, produces: .events) { call in
            try call.query.check(only: ["tail", "follow", "source", "format"])
            let lines = try await lines(call)
            switch call.query["format"] {
            case nil, "", "text":
                return .events(JoinedLines(lines: lines, limit: Self.longestLine), for: call) { bytes in
                    String(decoding: bytes, as: UTF8.self)
                }
            case "record":
                return .events(lines, for: call) { LogRecordResponse($0) }
            case let other?:
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_query",
                    "format '\(other.prefix(50))' is not one of text, record"
                )
            }
        }
    }

    private func lines(_ call: Call) async throws -> PrefixedLines {
        let tail = try call.query.integer("tail") ?? 100
        guard tail >= -1 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_query",
                "tail must be a number of lines, or -1 for all of them"
            )
        }
        let follow = try call.query.boolean("follow")
        let name = call.query["source"].flatMap { $0.isEmpty ? nil : $0 } ?? LogSource.app.rawValue
        let source = try LogSource(word: name, of: "source", code: "invalid_query")
        let stream = try await instances.logs(
            call.subject,
            source: source,
            tail: tail == -1 ? nil : tail,
            follow: follow
        )
        // A log that does not exist shows when its first line is asked for, and must be a 404 then: once the stream has
        // begun it is too late. A log that is followed may have no first line for long.
        guard !follow else { return PrefixedLines(first: nil, rest: stream) }
        var iterator = stream.makeAsyncIterator()
        return PrefixedLines(first: try await iterator.next(), rest: stream)
    }
}

/// A first line, and what its stream still holds.
struct PrefixedLines: AsyncSequence, Sendable {
    let first: LogLine?
    let rest: AsyncThrowingStream<LogLine, any Error>

    struct AsyncIterator: AsyncIteratorProtocol {
        var first: LogLine?
        var rest: AsyncThrowingStream<LogLine, any Error>.AsyncIterator

        mutating func next() async throws -> LogLine? {
            if let line = first {
                first = nil
                return line
            }
            return try await rest.next()
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(first: first, rest: rest.makeAsyncIterator()) }
}

/// Whole lines out of partial ones, as far as a bound on memory allows.
struct JoinedLines: AsyncSequence, Sendable {
    let lines: PrefixedLines
    let limit: Int

    struct AsyncIterator: AsyncIteratorProtocol {
        var lines: PrefixedLines.AsyncIterator
        let limit: Int

        mutating func next() async throws -> [UInt8]? {
            var bytes: [UInt8] = []
            while let line = try await lines.next() {
                bytes += line.bytes
                if !line.isPartial || bytes.count >= limit { return bytes }
            }
            return bytes.isEmpty ? nil : bytes
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lines: lines.makeAsyncIterator(), limit: limit) }
}
