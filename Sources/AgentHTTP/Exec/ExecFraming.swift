import AgentAPI
import AgentCore
import GuestProtocol
import NIOCore
import NIOHTTP1
import NIOWebSocket

import struct Foundation.Data

/// How an exec's two directions are put into WebSocket frames.
enum ExecFraming: Sendable {
    /// What existing clients speak: every frame is stdin, output is one stream.
    case plain
    /// ``ExecProtocol``.
    case channels

    /// The one to use for the subprotocols that a client offers.
    init(offered: [String]) {
        self = offered.contains(ExecProtocol.name) ? .channels : .plain
    }

    /// What the handshake's answer must say about it.
    var responseHeaders: HTTPHeaders {
        self == .channels ? ["Sec-WebSocket-Protocol": ExecProtocol.name] : [:]
    }

    /// What a complete message of the client's means.
    enum Input: Sendable, Hashable {
        case stdin([UInt8])
        case control(ExecControl)
    }

    /// Reads a text message.
    func text(_ bytes: [UInt8]) throws(FieldError) -> Input {
        switch self {
        case .plain:
            return Self.plainResize(bytes).map { .control($0) } ?? .stdin(bytes)
        case .channels:
            return .control(try ExecControl(try APIJSON.fields(Data(bytes))))
        }
    }

    /// Reads a stretch of a binary message; `isFirst` says whether the message begins with it.
    func binary(_ bytes: [UInt8], isFirst: Bool) throws(FieldError) -> Input? {
        guard self == .channels, isFirst else { return .stdin(bytes) }
        guard let channel = bytes.first else { return nil }
        guard channel == ExecProtocol.stdin else {
            throw FieldError(
                .invalid,
                field: "",
                "a binary frame must begin with the byte \(ExecProtocol.stdin), not \(channel)"
            )
        }
        return .stdin(Array(bytes.dropFirst()))
    }

    /// The frame for a stretch of output.
    func output(_ stream: OutputStream, _ bytes: ArraySlice<UInt8>) -> WebSocketFrame {
        var buffer = ByteBuffer()
        if self == .channels { buffer.writeInteger(stream == .stdout ? ExecProtocol.stdout : ExecProtocol.stderr) }
        buffer.writeBytes(bytes)
        return WebSocketFrame(fin: true, opcode: .binary, data: buffer)
    }

    /// The last frame of a command that ended.
    func exit(_ exit: GuestExit) -> [WebSocketFrame] {
        switch self {
        case .plain:
            // The reason is nowhere else in this framing: a shell would print it too.
            let reason = exit.message.map { [output(.stderr, ArraySlice("\($0)\r\n".utf8))] } ?? []
            return reason + [Self.text(["exitCode": exit.code])]
        case .channels:
            return [Self.text(ExecOutcome.exit(code: exit.code, signal: exit.signal, message: exit.message))]
        }
    }

    /// The last frames of a command that could not be run or was lost.
    func failure(_ error: AgentError) -> [WebSocketFrame] {
        switch self {
        case .plain:
            [output(.stderr, ArraySlice("Error: \(error)\r\n".utf8)), Self.text(["exitCode": 127])]
        case .channels:
            [Self.text(ExecOutcome.error(code: error.code, message: error.response.message))]
        }
    }

    /// The last frame after a first frame that was no request.
    func refusal(_ error: AgentError) -> WebSocketFrame {
        self == .plain
            ? Self.text(["error": error.message])
            : Self.text(ExecOutcome.error(code: error.code, message: error.message))
    }

    private static func text(_ value: some Encodable) -> WebSocketFrame {
        let data = (try? APIJSON.encode(value)) ?? Data("{}".utf8)
        return WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: data))
    }

    /// The newer clients' resize message, which is told from typed text by being exactly that.
    private static func plainResize(_ bytes: [UInt8]) -> ExecControl? {
        guard bytes.count <= 256, bytes.starts(with: Array(#"{"resize""#.utf8)),
            var reader = try? APIJSON.fields(Data(bytes)), var inner = (try? reader.object("resize")) ?? nil,
            let rows = (try? inner.integer("rows")) ?? nil, let columns = (try? inner.integer("cols")) ?? nil,
            (1...65_535).contains(rows), (1...65_535).contains(columns), (try? reader.finish()) != nil
        else { return nil }
        return .resize(rows: rows, columns: columns)
    }
}
