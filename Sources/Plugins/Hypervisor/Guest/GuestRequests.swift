import AgentCore
import GuestProtocol
import GuestTransport
import NIOCore
import NIOHPACK
import NIOHTTP2

/// Makes requests of one guest over one connection.
///
/// Safe to use from anywhere.
struct GuestRequests: Sendable {
    /// The longest answer to a request that is answered at once.
    private static let maximumAnswer = 64 << 10

    let channel: any Channel
    let multiplexer: NIOHTTP2Handler.StreamMultiplexer

    /// Makes a request that has a short body or none, and reads the whole answer.
    func call(_ route: GuestRoute, body: ByteBuffer? = nil) async throws -> [UInt8] {
        let stream = try await open(route, hasBody: body != nil)
        if let body {
            try await stream.write(body)
            stream.finish()
        }
        try await checkStatus(of: stream)
        return try await readAll(stream)
    }

    /// Makes a request and returns once the guest has agreed to it; its answer is still to be read.
    ///
    /// - Parameters:
    ///   - route: What is asked for.
    ///   - body: The first part of the request's body, nil if it has none; more can be written.
    /// - Returns: The request, its body still open if it has one.
    /// - Throws: ``AgentError`` as the guest's status says, `unavailable` if the connection is lost.
    func start(_ route: GuestRoute, body: ByteBuffer? = nil) async throws -> GuestStream {
        let stream = try await open(route, hasBody: body != nil)
        if let body { try await stream.write(body) }
        try await checkStatus(of: stream)
        return stream
    }

    private func open(_ route: GuestRoute, hasBody: Bool) async throws -> GuestStream {
        let handler = GuestStreamHandler(eventLoop: channel.eventLoop)
        let stream: any Channel
        do {
            stream = try await multiplexer.createStreamChannel { stream in
                stream.eventLoop.makeCompletedFuture {
                    try stream.syncOptions?.setOption(.autoRead, value: false)
                    try stream.pipeline.syncOperations.addHandler(handler)
                }
            }.get()
        } catch {
            handler.fail(error)
            throw GuestStream.lost(error)
        }
        let result = GuestStream(channel: stream, handler: handler)
        let headers = HPACKHeaders([
            (":method", route.method), (":scheme", "http"), (":authority", "guest"), (":path", route.path),
        ])
        try await result.send(.headers(.init(headers: headers, endStream: !hasBody)))
        return result
    }

    private func checkStatus(of stream: GuestStream) async throws {
        let status = try await stream.status()
        if (200..<300).contains(status) { return }
        let answer = try await readAll(stream)
        // What a guest says is shown as text and otherwise distrusted.
        let message = (try? GuestJSON.decode([String: String].self, from: answer))?["message"] ?? "status \(status)"
        let words = GuestText.bounded(message)
        switch status {
        case 400: throw AgentError(.invalidArgument, "the guest refused: \(words)")
        case 404: throw AgentError(.notSupported, "the guest does not know this request: \(words)")
        case 409: throw AgentError(.invalidState, "the guest refused: \(words)")
        case 429: throw AgentError(.busy, "the guest refused: \(words)")
        default: throw AgentError(.unavailable, "the guest failed: \(words)")
        }
    }

    private func readAll(_ stream: GuestStream) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = try await stream.read() {
            bytes.append(contentsOf: chunk.readableBytesView)
            guard bytes.count <= GuestRequests.maximumAnswer else {
                throw AgentError(.unavailable, "the guest's answer is too long")
            }
        }
        return bytes
    }
}
