/// The WebSocket subprotocol of exec that this agent adds to what existing clients speak.
///
/// The first client frame is the text of an ``ExecBody``, as without it. From then on every binary frame begins with a
/// byte that says which stream its bytes belong to, and every text frame is one JSON object with a `type`:
/// client to server ``ExecControl``, server to client ``ExecOutcome``, which is the last frame before the close.
public enum ExecProtocol {
    /// For `Sec-WebSocket-Protocol`.
    public static let name = "hypeman.exec.v1"
    /// Client to server.
    public static let stdin: UInt8 = 0
    /// Server to client.
    public static let stdout: UInt8 = 1
    /// Server to client.
    public static let stderr: UInt8 = 2
    /// The largest frame that either side sends or accepts, in bytes.
    public static let largestFrame = 1 << 20
}

/// What a client says besides stdin.
public enum ExecControl: Sendable, Hashable {
    /// End of file on stdin.
    case stdinEnd
    case resize(rows: Int, columns: Int)
    /// A signal's number, to the command's process group.
    case signal(Int)

    /// Reads a text frame.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        switch try reader.requiredString("type") {
        case "stdin_end":
            self = .stdinEnd
        case "resize":
            let (rows, columns) = (try reader.integer("rows") ?? 0, try reader.integer("cols") ?? 0)
            guard (1...65_535).contains(rows), (1...65_535).contains(columns) else {
                throw FieldError(.invalid, field: "rows", "fields 'rows' and 'cols' must be from 1 to 65535")
            }
            self = .resize(rows: rows, columns: columns)
        case "signal":
            guard let number = try reader.integer("signal"), (1...64).contains(number) else {
                throw FieldError(.invalid, field: "signal", "field 'signal' must be a signal's number from 1 to 64")
            }
            self = .signal(number)
        case let other:
            throw FieldError(
                .invalid,
                field: "type",
                "type '\(other.prefix(100))' is not one of stdin_end, resize, signal"
            )
        }
        try reader.finish()
    }
}

extension ExecControl: Encodable {
    private enum CodingKeys: String, CodingKey { case type, rows, cols, signal }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .stdinEnd:
            try container.encode("stdin_end", forKey: .type)
        case .resize(let rows, let columns):
            try container.encode("resize", forKey: .type)
            try container.encode(rows, forKey: .rows)
            try container.encode(columns, forKey: .cols)
        case .signal(let number):
            try container.encode("signal", forKey: .type)
            try container.encode(number, forKey: .signal)
        }
    }
}

/// The server's last word.
public struct ExecOutcome: Codable, Sendable, Hashable {
    /// `exit` or `error`.
    public var type: String
    /// The command's exit code, or 128 + the signal.
    public var exitCode: Int?
    public var signal: Int?
    /// Of an error.
    public var code: String?
    public var message: String?

    enum CodingKeys: String, CodingKey {
        case type, signal, code, message
        case exitCode = "exit_code"
    }

    /// The command ended.
    public static func exit(code: Int, signal: Int?, message: String?) -> ExecOutcome {
        ExecOutcome(type: "exit", exitCode: code, signal: signal, message: message)
    }

    /// It could not be run, or was lost.
    public static func error(code: String, message: String) -> ExecOutcome {
        ExecOutcome(type: "error", code: code, message: message)
    }
}
