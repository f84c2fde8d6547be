/// Reads one JSON text (RFC 8259), strictly: no comments, no trailing commas, valid UTF-8 only.
struct JSONParser {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
    }

    /// Reads the whole text.
    mutating func parse() throws -> JSONValue {
        let value = try parseValue(depth: 0)
        skipWhitespace()
        guard position == bytes.count else { throw fault("more follows after the value") }
        return value
    }

    private mutating func parseValue(depth: Int) throws -> JSONValue {
        skipWhitespace()
        guard let byte = current else { throw fault("the text ends where a value was expected") }
        switch byte {
        case UInt8(ascii: "{"): return try parseObject(depth: depth + 1)
        case UInt8(ascii: "["): return try parseArray(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", as: .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", as: .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", as: .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try parseNumber())
        default: throw fault("no value begins like this")
        }
    }

    private mutating func parseObject(depth: Int) throws -> JSONValue {
        try enter(depth)
        var fields: [String: JSONValue] = [:]
        if take(UInt8(ascii: "}")) { return .object(fields) }
        repeat {
            skipWhitespace()
            guard current == UInt8(ascii: "\"") else { throw fault("a field's name was expected") }
            let name = try parseString()
            guard take(UInt8(ascii: ":")) else { throw fault("a colon was expected") }
            fields[name] = try parseValue(depth: depth)
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw fault("a comma or the object's end was expected") }
        return .object(fields)
    }

    private mutating func parseArray(depth: Int) throws -> JSONValue {
        try enter(depth)
        var elements: [JSONValue] = []
        if take(UInt8(ascii: "]")) { return .array(elements) }
        repeat {
            elements.append(try parseValue(depth: depth))
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw fault("a comma or the array's end was expected") }
        return .array(elements)
    }

    private mutating func enter(_ depth: Int) throws {
        guard depth <= GuestJSON.maximumDepth else { throw fault("nested too deep") }
        position += 1
    }

    private mutating func parseWord(_ word: StaticString, as value: JSONValue) throws -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        let matches =
            end <= bytes.count
            && (0..<word.utf8CodeUnitCount).allSatisfy { bytes[position + $0] == word.utf8Start[$0] }
        guard matches else { throw fault("no value begins like this") }
        position = end
        return value
    }

    private mutating func parseNumber() throws -> String {
        let start = position
        _ = take(raw: UInt8(ascii: "-"))
        if !take(raw: UInt8(ascii: "0")) { try skipDigits() }
        if take(raw: UInt8(ascii: ".")) { try skipDigits() }
        if take(raw: UInt8(ascii: "e")) || take(raw: UInt8(ascii: "E")) {
            if !take(raw: UInt8(ascii: "+")) { _ = take(raw: UInt8(ascii: "-")) }
            try skipDigits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skipDigits() throws {
        let start = position
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        guard position > start else { throw fault("a digit was expected") }
    }

    private mutating func parseString() throws -> String {
        position += 1
        var text: [UInt8] = []
        while true {
            let start = position
            while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
                position += 1
            }
            text.append(contentsOf: bytes[start..<position])
            guard let byte = current else { throw fault("the text ends inside a string") }
            guard byte >= 0x20 else { throw fault("a control character inside a string") }
            position += 1
            if byte == UInt8(ascii: "\"") { break }
            try parseEscape(into: &text)
        }
        guard let string = String(validating: text, as: UTF8.self) else { throw fault("a string that is not UTF-8") }
        return string
    }

    private mutating func parseEscape(into text: inout [UInt8]) throws {
        guard let byte = current else { throw fault("the text ends inside a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(Character(try parseUnicodeEscape())).utf8)
        default: throw fault("an unknown escape")
        }
    }

    /// Characters outside the basic plane are written as two escapes, a surrogate pair (RFC 8259, section 7).
    ///
    /// Half of one stands for no character, and is refused rather than replaced.
    private mutating func parseUnicodeEscape() throws -> Unicode.Scalar {
        let first = try parseHexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, take(raw: UInt8(ascii: "\\")), take(raw: UInt8(ascii: "u")) else {
            throw fault("half a surrogate pair")
        }
        let second = try parseHexadecimal()
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw fault("half a surrogate pair") }
        return scalar
    }

    private mutating func parseHexadecimal() throws -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("four hexadecimal digits were expected")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipWhitespace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipWhitespace()
        return take(raw: byte)
    }

    private mutating func take(raw byte: UInt8) -> Bool {
        guard current == byte else { return false }
        position += 1
        return true
    }

    private func fault(_ reason: String) -> GuestJSONError {
        GuestJSONError(offset: position, reason: reason)
    }
}
