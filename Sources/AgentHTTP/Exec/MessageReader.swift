import AgentCore
import NIOCore
import NIOWebSocket

/// Puts WebSocket frames together into messages (RFC 6455, 5.4): text as a whole, binary as it comes.
struct MessageReader {
    /// The largest text message, in bytes.
    static let largestText = 64 << 10

    enum Message: Hashable {
        case text([UInt8])
        /// A stretch of a binary message.
        case binary([UInt8], isFirst: Bool)
        case ping(ByteBuffer)
        case pong
        case close(ByteBuffer)
    }

    private var text: [UInt8]?
    private var isInBinary = false

    init() {}

    /// Takes a frame; nil if its message is not complete yet.
    ///
    /// - Throws: `invalidArgument` for frames out of order or too large.
    mutating func take(_ frame: WebSocketFrame) throws(AgentError) -> Message? {
        let data = frame.unmaskedData
        switch frame.opcode {
        case .text:
            guard text == nil, !isInBinary else { throw Self.disorder }
            return try append(Array(data.readableBytesView), to: [], isLast: frame.fin)
        case .binary:
            guard text == nil, !isInBinary else { throw Self.disorder }
            isInBinary = !frame.fin
            return .binary(Array(data.readableBytesView), isFirst: true)
        case .continuation:
            if let begun = text { return try append(Array(data.readableBytesView), to: begun, isLast: frame.fin) }
            guard isInBinary else { throw Self.disorder }
            isInBinary = !frame.fin
            return .binary(Array(data.readableBytesView), isFirst: false)
        case .ping:
            return .ping(data)
        case .pong:
            return .pong
        case .connectionClose:
            return .close(data)
        default:
            throw Self.disorder
        }
    }

    private mutating func append(_ bytes: [UInt8], to begun: [UInt8], isLast: Bool) throws(AgentError) -> Message? {
        guard begun.count + bytes.count <= Self.largestText else {
            throw AgentError(
                .invalidArgument,
                code: "message_too_large",
                "a text message is larger than \(Self.largestText) bytes"
            )
        }
        text = isLast ? nil : begun + bytes
        return isLast ? .text(begun + bytes) : nil
    }

    private static var disorder: AgentError {
        AgentError(.invalidArgument, code: "protocol_error", "WebSocket frames came out of order")
    }
}
