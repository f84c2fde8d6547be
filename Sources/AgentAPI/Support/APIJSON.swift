public import Foundation

/// JSON as this API writes and reads it: RFC 3339 times in UTC, keys sorted so that equal values are equal bytes.
public enum APIJSON {
    /// Encodes a body.
    public static func encode(_ value: some Encodable, pretty: Bool = false) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(format(date))
        }
        return try encoder.encode(value)
    }

    /// Decodes a body of a server; what is not known in it is ignored, since servers may be newer.
    public static func decode<Value: Decodable>(_ type: Value.Type, from data: Data) throws -> Value {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = parse(text) else {
                throw DecodingError.dataCorruptedError(
                    in: container,
                    debugDescription: "'\(text)' is not an RFC 3339 time"
                )
            }
            return date
        }
        return try decoder.decode(type, from: data)
    }

    /// Reads a request's body as an object, to be read field by field.
    ///
    /// - Throws: ``FieldError`` `malformed` if it isn't JSON or isn't an object.
    public static func fields(_ data: Data) throws(FieldError) -> FieldReader {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: data)
        } catch {
            throw FieldError(.malformed, field: "", "the body is not valid JSON")
        }
        return try FieldReader(value)
    }

    /// RFC 3339 with milliseconds.
    public static func format(_ date: Date) -> String {
        date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    /// RFC 3339 with or without fractions of a second.
    public static func parse(_ text: String) -> Date? {
        (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
            ?? (try? Date.ISO8601FormatStyle().parse(text))
    }
}
