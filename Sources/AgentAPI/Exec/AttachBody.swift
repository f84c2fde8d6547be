/// The first frame of an attach WebSocket: an ``ExecBody`` without what there is to run.
///
/// All that follows is as in an exec.
public struct AttachBody: Encodable, Sendable, Hashable {
    /// The size of the client's terminal.
    public var rows: Int?
    public var cols: Int?
    /// Seconds to wait for an instance that is still starting.
    public var waitForAgent: Int?

    enum CodingKeys: String, CodingKey {
        case rows, cols
        case waitForAgent = "wait_for_agent"
    }

    public init() {}

    /// Reads a request.
    public init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        waitForAgent = try reader.seconds("wait_for_agent")
        (rows, cols) = try reader.terminalSize()
        try reader.finish()
    }
}

extension FieldReader {
    /// A number of seconds.
    mutating func seconds(_ name: String) throws(FieldError) -> Int? {
        let value = try integer(name)
        if let value, !(0...31_536_000).contains(value) {
            throw FieldError(.invalid, field: name, "field '\(name)' must be a number of seconds from 0 to a year")
        }
        return value
    }

    /// The fields `rows` and `cols`.
    mutating func terminalSize() throws(FieldError) -> (rows: Int?, cols: Int?) {
        let size = (rows: try integer("rows"), cols: try integer("cols"))
        for (name, value) in [("rows", size.rows), ("cols", size.cols)] {
            guard let value, !(1...65_535).contains(value) else { continue }
            throw FieldError(.invalid, field: name, "field '\(name)' must be from 1 to 65535")
        }
        return size
    }
}
