/// Reads the numbers in tar headers.
enum TarNumber {
    /// An octal field with blanks and NULs around it, or GNU's base 256 (the top bit of the first byte set); an empty
    /// field is 0.
    static func parse(_ field: ArraySlice<UInt8>) -> Int64? {
        guard let first = field.first else { return nil }
        if first & 0x80 != 0 { return parseBase256(field, first: first) }
        var number: Int64 = 0
        var (isBegun, isOver) = (false, false)
        for byte in field {
            switch byte {
            case 48...55:
                guard !isOver, number < 1 << 59 else { return nil }
                number = number << 3 | Int64(byte - 48)
                isBegun = true
            // Blanks may stand before the digits; behind a NUL there are none.
            case 32: isOver = isOver || isBegun
            case 0: isOver = true
            default: return nil
            }
        }
        return number
    }

    /// Two's complement, big endian; the first byte has its sign in bit 6.
    private static func parseBase256(_ field: ArraySlice<UInt8>, first: UInt8) -> Int64? {
        let isNegative = first & 0x40 != 0
        var number: Int64 = isNegative ? -1 : 0
        for (index, byte) in field.enumerated() {
            let value = index == 0 ? (isNegative ? byte : byte & 0x7f) : byte
            guard number >= -(1 << 54), number < 1 << 54 else { return nil }
            number = number << 8 | Int64(value)
        }
        return number
    }

    /// A decimal number of PAX.
    static func parseDecimal(_ text: ArraySlice<UInt8>) -> Int64? {
        guard (1...20).contains(text.count) else { return nil }
        return Int64(String(decoding: text, as: UTF8.self))
    }

    /// Seconds with a fraction, as PAX writes times; what is finer than a nanosecond is cut off.
    static func parseTime(_ text: ArraySlice<UInt8>) -> FileTime? {
        guard text.count <= 64 else { return nil }
        let parts = text.split(separator: 46, maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, let seconds = parseDecimal(whole) else { return nil }
        var nanoseconds: UInt32 = 0
        if parts.count == 2 {
            guard parts[1].allSatisfy({ (48...57).contains($0) }) else { return nil }
            for index in 0..<9 {
                let digit = index < parts[1].count ? parts[1][parts[1].startIndex + index] - 48 : 0
                nanoseconds = nanoseconds * 10 + UInt32(digit)
            }
        }
        guard whole.first == 45, nanoseconds > 0 else { return FileTime(seconds: seconds, nanoseconds: nanoseconds) }
        guard seconds > .min else { return nil }
        // -1.25 is one and a quarter before the epoch; nanoseconds count upwards.
        return FileTime(seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds)
    }
}
