/// A parsed JSON value.
indirect enum JSONValue: Equatable {
    case null
    case bool(Bool)
    /// The number as it was written: which type it must fit is only known to whoever decodes it.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// What it is, for error messages.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
