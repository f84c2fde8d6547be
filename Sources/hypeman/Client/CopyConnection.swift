import AgentAPI
import Foundation
import NIOCore
import NIOWebSocket

/// The WebSocket of one copy.
struct CopyConnection: Sendable {
    private typealias Outbound = NIOAsyncChannelOutboundWriter<WebSocketFrame>

    private let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    /// Connects to an instance.
    ///
    /// - Throws: ``AgentRefusal`` with the agent's reason.
    static func open(_ endpoint: Endpoint, instance: String) async throws -> CopyConnection {
        let path = AgentClient.path(instance: instance, "/cp")
        return CopyConnection(
            channel: try await AgentSocket.open(endpoint, path: path, subprotocol: CopyProtocol.name)
        )
    }

    /// Sends an archive.
    ///
    /// - Parameters:
    ///   - body: What becomes of it.
    ///   - next: The next piece, nil where it is whole.
    /// - Returns: What the agent says of it.
    /// - Throws: The agent's reason, as soon as it has one; what `next` throws.
    func send(
        _ body: CopyBody,
        _ next: @escaping @Sendable () async throws -> [UInt8]?
    ) async throws -> CopyOutcome {
        try await channel.executeThenClose { inbound, outbound in
            try await Self.begin(body, outbound)
            return try await withThrowingTaskGroup(of: CopyOutcome?.self) { group in
                group.addTask { try await Self.outcome(inbound, outbound) { _ in } }
                group.addTask {
                    while let bytes = try await next() {
                        // A connection that breaks has its reason in what was received before.
                        do { try await outbound.write(AgentSocket.frame(.binary, ByteBuffer(bytes: bytes))) } catch {
                            return nil
                        }
                    }
                    let end = ByteBuffer(bytes: try APIJSON.encode(CopyControl.end))
                    do { try await outbound.write(AgentSocket.frame(.text, end)) } catch { return nil }
                    return nil
                }
                defer { group.cancelAll() }
                while let outcome = try await group.next() {
                    if let outcome { return outcome }
                }
                throw Self.lost
            }
        }
    }

    /// Receives an archive.
    ///
    /// - Parameters:
    ///   - body: What is wanted.
    ///   - take: Given each piece; the agent waits while it takes its time.
    /// - Returns: What the agent says of it: the archive is whole.
    /// - Throws: The agent's reason, what `take` throws.
    func receive(
        _ body: CopyBody,
        _ take: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws -> CopyOutcome {
        try await channel.executeThenClose { inbound, outbound in
            try await Self.begin(body, outbound)
            return try await Self.outcome(inbound, outbound, take)
        }
    }

    private static func begin(_ body: CopyBody, _ outbound: Outbound) async throws {
        try await outbound.write(AgentSocket.frame(.text, ByteBuffer(bytes: try APIJSON.encode(body))))
    }

    private static func outcome(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>,
        _ outbound: Outbound,
        _ take: ([UInt8]) async throws -> Void
    ) async throws -> CopyOutcome {
        do {
            for try await frame in inbound {
                let data = frame.unmaskedData
                switch frame.opcode {
                case .binary: try await take(Array(data.readableBytesView))
                case .text:
                    let outcome = try APIJSON.decode(CopyOutcome.self, from: Data(data.readableBytesView))
                    guard outcome.type != "error", outcome.success != false else { throw failure(outcome) }
                    return outcome
                case .ping: try await outbound.write(AgentSocket.frame(.pong, data))
                case .connectionClose: throw lost
                default: continue
                }
            }
        } catch let error as ChannelError {
            throw CommandError("\(lost.what) (\(error))", remedy: lost.remedy)
        }
        // The end of a connection looks the same to a task that was cancelled.
        try Task.checkCancellation()
        throw lost
    }

    private static func failure(_ outcome: CopyOutcome) -> CommandError {
        CommandError(outcome.message ?? outcome.error ?? "the copy failed")
    }

    private static let lost = CommandError(
        "the connection to the agent was lost before the copy was complete",
        remedy: "what is whole already stays; copy again"
    )
}
