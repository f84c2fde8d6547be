/// The first frame of an exec WebSocket.
///
/// `user`, `stdin`, `rows` and `cols` are this agent's own; the rest is what existing clients send.
public struct ExecBody: Encodable, Sendable, Hashable {
    public var command: [String]
    public var tty: Bool?
    public var env: [String: String]?
    public var cwd: String?
    /// Seconds after which the command is killed; 0 means never.
    public var timeout: Int?
    /// Seconds to wait for an instance that is still starting.
    public var waitForAgent: Int?
    public var user: String?
    /// Whether stdin follows; true where it isn't said.
    public var stdin: Bool?
    public var rows: Int?
    public var cols: Int?

    enum CodingKeys: String, CodingKey {
        case command, tty, env, cwd, timeout, user, stdin, rows, cols
        case waitForAgent = "wait_for_agent"
    }

    public init(command: [String]) { self.command = command }

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        command = try reader.strings("command") ?? []
        tty = try reader.boolean("tty")
        env = try reader.dictionary("env")
        cwd = try reader.string("cwd")
        timeout = try reader.seconds("timeout")
        waitForAgent = try reader.seconds("wait_for_agent")
        user = try reader.string("user")
        stdin = try reader.boolean("stdin")
        (rows, cols) = try reader.terminalSize()
        try reader.finish()
    }
}
