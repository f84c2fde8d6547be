import AgentCore
import GuestProtocol
import GuestTransport
import NIOCore
import Synchronization

/// A guest's answer to a request for files: pieces of an archive, and how it ended.
final class GuestFilesAnswer: Sendable {
    /// A guest's words go to a person: some of them will do.
    private static let maximumWarnings = 20

    private let isOver = Mutex(false)
    private let stream: GuestStream
    private let frames: GuestFrames

    init(_ stream: GuestStream) {
        self.stream = stream
        frames = GuestFrames { stream }
    }

    /// The next piece, or that it was all; nil after that.
    ///
    /// - Throws: What the guest says that went wrong.
    func nextEvent() async throws -> GuestArchiveEvent? {
        if isOver.withLock({ $0 }) { return nil }
        while let frame = try await next() {
            switch frame.kind {
            case .archive: return .bytes(frame.payload)
            case .filesResult:
                isOver.withLock { $0 = true }
                return .finished(try decode(frame))
            default: continue
            }
        }
        throw Self.cut
    }

    /// How it ended; archive pieces before are no part of that.
    func result() async throws -> GuestFilesResult {
        while let frame = try await next() {
            if frame.kind == .filesResult { return try decode(frame) }
        }
        throw Self.cut
    }

    private func next() async throws -> GuestFrame? {
        do {
            return try await frames.next()
        } catch {
            stream.reset()
            throw error
        }
    }

    private func decode(_ frame: GuestFrame) throws -> GuestFilesResult {
        var result: GuestFilesResult
        do {
            result = try GuestJSON.decode(GuestFilesResult.self, from: frame.payload)
        } catch {
            stream.reset()
            throw AgentError(.unavailable, "the guest does not keep to the protocol", cause: error)
        }
        if let failure = result.failure { throw failure.error }
        result.warnings = result.warnings?.prefix(Self.maximumWarnings).map(GuestText.bounded)
        return result
    }

    private static var cut: AgentError {
        AgentError(.unavailable, "the guest ended the copy without saying how it went")
    }
}

/// An archive on its way into a guest, for as long as its stream lasts.
final class GuestArchiveWriting: GuestArchiveInput {
    /// Bytes of one frame.
    private static let chunk = 128 << 10

    private let stream: GuestStream
    private let answer: GuestFilesAnswer
    private let isFinished = Mutex(false)

    init(stream: GuestStream) {
        self.stream = stream
        answer = GuestFilesAnswer(stream)
    }

    func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            // The guest answers early only if something is wrong; it takes what is sent all the same.
            if stream.hasAnswer { throw try await failure() }
            let piece = rest.prefix(Self.chunk)
            try await stream.write(ByteBuffer(frame: .archive, payload: piece))
            rest = rest.dropFirst(piece.count)
        }
    }

    func finish() async throws -> GuestFilesResult {
        let isFirst = isFinished.withLock { finished in
            defer { finished = true }
            return !finished
        }
        guard isFirst else { throw AgentError(.invalidState, "the archive has ended already") }
        try await stream.write(ByteBuffer(frame: .archiveEnd, payload: []))
        let result = try await answer.result()
        stream.finish()
        return result
    }

    func cancel() async { stream.reset() }

    private func failure() async throws -> any Error {
        _ = try await answer.result()
        return AgentError(.unavailable, "the guest ended the copy before it had all of the archive")
    }
}
