/// Durations as existing clients write them: Go's form, `90s`, `1m30s`, `500ms`.
public enum DurationText {
    /// Reads a sequence of decimal numbers with units `ns`, `us`, `ms`, `s`, `m`, `h`; nil if it is anything else or
    /// longer than a year.
    public static func parse(_ text: String) -> Duration? {
        guard text != "0" else { return .zero }
        var rest = text[...]
        var total = Duration.zero
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
            guard let number = Double(digits), number >= 0, number < 1e12 else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(unit.count)
            let seconds: Double
            switch unit {
            case "ns": seconds = 1e-9
            case "us": seconds = 1e-6
            case "ms": seconds = 1e-3
            case "s": seconds = 1
            case "m": seconds = 60
            case "h": seconds = 3600
            default: return nil
            }
            guard number * seconds <= 366 * 86400 else { return nil }
            total += .seconds(number * seconds)
        }
        return total <= .seconds(366 * 86400) ? total : nil
    }

    /// Writes whole milliseconds, or whole seconds where it can.
    public static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
}
