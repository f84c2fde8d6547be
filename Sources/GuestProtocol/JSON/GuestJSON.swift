/// JSON (RFC 8259) for Codable values, without Foundation, which would double the size of hypeman-init.
///
/// Both ends read what the other wrote, and the host distrusts the guest, so reading is bounded: by the size of the text
/// and by the depth of its nesting. Fields that a type does not know are ignored; of a repeated field the last one counts.
public enum GuestJSON {
    /// The longest text that is read, in bytes.
    public static let maximumSize = 4 << 20
    /// How deep arrays and objects may be nested.
    public static let maximumDepth = 64

    /// Writes a value as UTF-8 text without white space; an object's fields stand in the order in which they were encoded.
    ///
    /// - Throws: `EncodingError` for a number that JSON cannot express (infinities, NaN).
    public static func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        let node = JSONNode()
        try value.encode(to: JSONNodeEncoder(node: node, codingPath: []))
        var writer = JSONWriter()
        writer.write(node)
        return writer.bytes
    }

    /// Reads one value; nothing but white space may surround it.
    ///
    /// - Throws: ``GuestJSONError`` if the bytes are no JSON or exceed a limit, `DecodingError` if they do not fit the type.
    public static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Collection<UInt8>) throws -> Value
    {
        guard bytes.count <= maximumSize else {
            throw GuestJSONError(offset: maximumSize, reason: "the text is too long")
        }
        let value = try Array(bytes).withUnsafeBufferPointer { buffer in
            var parser = JSONParser(buffer)
            return try parser.parse()
        }
        return try Value(from: JSONValueDecoder(value: value, codingPath: []))
    }
}

/// Why a text is no JSON, and where.
public struct GuestJSONError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Bytes from the start of the text to the fault.
    public var offset: Int
    /// The fault in words.
    public var reason: String

    public var description: String { "not JSON at byte \(offset): \(reason)" }
}
