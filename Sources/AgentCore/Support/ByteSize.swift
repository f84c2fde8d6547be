/// An amount of memory or storage in bytes.
///
/// Written as existing clients do (`512MB`, `10GB`): units are binary whatever their spelling, `GB` is 2^30.
public struct ByteSize: Sendable, Hashable, Comparable, Codable {
    /// The bytes.
    public var bytes: Int

    public init(bytes: Int) { self.bytes = bytes }

    /// `count` times 2^10 bytes.
    public static func kibibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 10) }
    /// `count` times 2^20 bytes.
    public static func mebibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 20) }
    /// `count` times 2^30 bytes.
    public static func gibibytes(_ count: Int) -> ByteSize { ByteSize(bytes: count << 30) }

    /// Reads a whole number and a unit: `B`, `K`, `KB`, `KiB`, and so on to `P`, in any case; no unit means bytes.
    ///
    /// A lower-case `b` after a capital (`Mb`) means bits everywhere else, so it is refused rather than guessed at.
    ///
    /// - Returns: nil if `text` is anything else, or too large for 63 bits.
    public init?(_ text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits) else { return nil }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        if unit.count == 2, unit.last == "b", unit.first?.isUppercase == true { return nil }
        let shifts = ["": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50]
        var key = unit.lowercased()
        if key.count > 1 {
            if key.hasSuffix("ib") {
                key.removeLast(2)
            } else if key.hasSuffix("b") {
                key.removeLast()
            } else {
                return nil
            }
            if key.isEmpty || key == "b" { return nil }
        }
        guard let shift = shifts[key] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    public static func < (lhs: ByteSize, rhs: ByteSize) -> Bool { lhs.bytes < rhs.bytes }
}

extension ByteSize: CustomStringConvertible {
    /// The form that existing clients parse: one decimal, and 1 GiB is "1024.0 MB", for a unit begins above its own size.
    public var description: String {
        for (shift, unit) in [(50, "PB"), (40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")] where bytes > 1 << shift {
            let tenths = (Double(bytes) / Double(1 << shift) * 10).rounded()
            return "\(tenths / 10) \(unit)"
        }
        return "\(bytes) B"
    }

    /// The shortest exact form that ``init(_:)`` reads back: `10GB`, `1536MB`, `1000`.
    public var exact: String {
        for (shift, unit) in [(50, "PB"), (40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")]
        where bytes != 0 && bytes % (1 << shift) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)"
    }
}
