import AgentAPI
import HTTPTypes
import HummingbirdCore
import NIOCore
import ServiceLifecycle

extension Response {
    /// Server-sent events in the one form that existing clients parse: `data: <json>`, an empty line, nothing else.
    ///
    /// The stream goes on as long as `elements` does. It ends early when the client goes away, and is finished in an
    /// orderly way when the agent stops. To notice a client that goes away the rest of the connection is given up, and
    /// the header says so: a client that keeps the connection for its next request would find it closed under it.
    static func events<Elements: AsyncSequence & Sendable, Event: Encodable>(
        _ elements: Elements,
        for call: Call,
        _ event: @escaping @Sendable (Elements.Element) throws -> Event?
    ) -> Response where Elements.Element: Sendable {
        let body = call.body.stream
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-cache", .connection: "close",
                .xAccelBuffering: "no",
            ],
            body: ResponseBody { writer in
                let output = SendableWriter(writer)
                try await body.consumeWithCancellationOnInboundClose { _ in
                    for try await element in elements.cancelOnGracefulShutdown() {
                        guard let event = try event(element) else { continue }
                        var buffer = ByteBuffer(string: "data: ")
                        buffer.writeBytes(try APIJSON.encode(event))
                        buffer.writeString("\n\n")
                        try await output.write(buffer)
                    }
                }
                try await writer.finish(nil)
            }
        )
    }
}

/// Carries the writer into the task that writes.
///
/// `@unchecked Sendable`: only that task uses it until it has ended, and only its caller after that.
private final class SendableWriter: @unchecked Sendable {
    private var writer: any ResponseBodyWriter

    init(_ writer: any ResponseBodyWriter) { self.writer = writer }

    func write(_ buffer: ByteBuffer) async throws { try await writer.write(buffer) }
}

extension HTTPField.Name {
    /// Tells nginx not to collect what is meant to stream.
    static var xAccelBuffering: HTTPField.Name { constant("X-Accel-Buffering") }
    static var xRequestID: HTTPField.Name { constant("X-Request-ID") }
    /// Docker's Engine API has it.
    static var xRegistryAuth: HTTPField.Name { constant("X-Registry-Auth") }

    private static func constant(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("'\(name)' is no header's name") }
        return name
    }
}
