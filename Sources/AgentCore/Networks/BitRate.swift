/// A bandwidth.
///
/// Written as existing clients do: decimal bits (`100Mbps`), or binary bytes a second (`10MB/s`).
public struct BitRate: Sendable, Hashable, Comparable, Codable {
    public var bitsPerSecond: Int

    public init(bitsPerSecond: Int) { self.bitsPerSecond = bitsPerSecond }

    /// Whole bytes, rounded down.
    public var bytesPerSecond: Int { bitsPerSecond / 8 }

    /// Reads a whole number and `bps`, `kbps`, `Mbps`, `Gbps` (decimal, any case), or a ``ByteSize`` and `/s`.
    ///
    /// - Returns: nil if `text` is anything else, or too large for 63 bits.
    public init?(_ text: String) {
        let text = text.lowercased()
        if text.hasSuffix("/s") {
            guard let size = ByteSize(String(text.dropLast(2))) else { return nil }
            let (bits, overflow) = size.bytes.multipliedReportingOverflow(by: 8)
            guard !overflow else { return nil }
            bitsPerSecond = bits
            return
        }
        for (unit, factor) in [("kbps", 1000), ("mbps", 1_000_000), ("gbps", 1_000_000_000), ("bps", 1)]
        where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(digits) else { return nil }
            let (bits, overflow) = number.multipliedReportingOverflow(by: factor)
            guard !overflow else { return nil }
            bitsPerSecond = bits
            return
        }
        return nil
    }

    public static func < (lhs: BitRate, rhs: BitRate) -> Bool { lhs.bitsPerSecond < rhs.bitsPerSecond }
}

extension BitRate: CustomStringConvertible {
    /// The shortest exact form that ``init(_:)`` reads back.
    public var description: String {
        for (unit, factor) in [("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1000)]
        where bitsPerSecond != 0 && bitsPerSecond % factor == 0 {
            return "\(bitsPerSecond / factor)\(unit)"
        }
        return "\(bitsPerSecond)bps"
    }
}

/// How fast an instance may send and receive; nil is without a limit.
public struct BandwidthLimits: Sendable, Hashable, Codable {
    /// Towards the instance.
    public var download: BitRate?
    /// From the instance.
    public var upload: BitRate?

    public init(download: BitRate? = nil, upload: BitRate? = nil) {
        self.download = download
        self.upload = upload
    }
}
