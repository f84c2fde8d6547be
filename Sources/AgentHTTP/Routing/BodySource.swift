import AgentAPI
import AgentCore
import Foundation
import HTTPTypes
import HummingbirdCore
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Synchronization

/// A request's body, which can be read once.
final class BodySource: Sendable {
    /// The largest JSON body, in bytes.
    static let largestJSON = 1 << 20

    /// The body as it comes; whoever reads it calls ``finished()`` at its end.
    let stream: RequestBody
    /// What Content-Length says.
    let announcedLength: Int?
    private let isFinished: Mutex<Bool>
    private let isTaken = Mutex(false)

    init(_ request: Request) {
        stream = request.body
        announcedLength = request.headers[.contentLength].flatMap { Int($0) }
        let isChunked = request.headers[.transferEncoding] != nil
        isFinished = Mutex(!isChunked && (announcedLength ?? 0) == 0)
    }

    /// Whether nothing of it is left on the connection.
    var isAtEnd: Bool { isFinished.withLock { $0 } }

    /// Notes that the body was read to its end.
    func finished() { isFinished.withLock { $0 = true } }

    /// Gives the chunks to `use`, one after the other.
    ///
    /// - Throws: `invalidArgument` with code `truncated_body` if the client went away before the end.
    func forEachChunk(_ use: (ByteBuffer) async throws -> Void) async throws {
        guard
            !isTaken.withLock({ taken in
                defer { taken = true }; return taken
            })
        else { return }
        var received = 0
        do {
            for try await chunk in stream {
                received += chunk.readableBytes
                try await use(chunk)
            }
        } catch let error as HTTPParserError {
            throw AgentError(
                .invalidArgument,
                code: "truncated_body",
                "the request's body is broken or cut off",
                cause: error
            )
        }
        if let announcedLength, received < announcedLength {
            throw AgentError(
                .invalidArgument,
                code: "truncated_body",
                "the request's body ended after \(received) of \(announcedLength) bytes"
            )
        }
        finished()
    }

    /// All of a small body.
    ///
    /// - Throws: ``TransportError`` 413 if it is larger than ``largestJSON``.
    func collect() async throws -> Data {
        if let announcedLength, announcedLength > Self.largestJSON { throw TransportError.tooLarge(Self.largestJSON) }
        var data = Data()
        try await forEachChunk { chunk in
            guard data.count + chunk.readableBytes <= Self.largestJSON else {
                throw TransportError.tooLarge(Self.largestJSON)
            }
            data.append(contentsOf: chunk.readableBytesView)
        }
        return data
    }

    /// A JSON body's fields.
    func fields() async throws -> FieldReader {
        let data = try await collect()
        do {
            return try APIJSON.fields(data)
        } catch {
            throw error.agentError
        }
    }

    /// A JSON body's fields, nil where there is no body.
    func optionalFields() async throws -> FieldReader? {
        let data = try await collect()
        guard !data.isEmpty else { return nil }
        do {
            return try APIJSON.fields(data)
        } catch {
            throw error.agentError
        }
    }

    /// Throws away what is left, up to a bound.
    ///
    /// - Returns: Whether the end was reached; if not, the connection must be closed.
    func discard(upTo limit: Int) async -> Bool {
        guard !isAtEnd else { return true }
        guard announcedLength ?? 0 <= limit else { return false }
        var left = limit
        do {
            try await forEachChunk { chunk in
                left -= chunk.readableBytes
                if left < 0 { throw CancellationError() }
            }
        } catch {
            // The answer is on its way already; that the rest of the request is no good only ends the connection.
            return false
        }
        return isAtEnd
    }
}
