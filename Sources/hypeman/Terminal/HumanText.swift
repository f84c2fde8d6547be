import Foundation

/// Figures for people.
enum HumanText {
    /// `1.5 GB`, decimal units with one digit, as download tools show them.
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 1000 { return unit == "B" ? "\(count) B" : "\((value * 10).rounded() / 10) \(unit)" }
            value /= 1000
        }
        return "\((value * 10).rounded() / 10) TB"
    }

    /// `100 Mbit/s`, as links are sold.
    static func bits(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["bit/s", "kbit/s", "Mbit/s"] {
            if value < 1000 { return "\(short(value)) \(unit)" }
            value /= 1000
        }
        return "\(short(value)) Gbit/s"
    }

    /// One digit behind the point, none where it is 0.
    private static func short(_ value: Double) -> String {
        let rounded = (value * 10).rounded() / 10
        return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    }

    /// `3 minutes ago`.
    static func age(of date: Date, now: Date = Date()) -> String {
        let seconds = max(0, Int(now.timeIntervalSince(date)))
        let (count, unit) =
            switch seconds {
            case ..<60: (seconds, "second")
            case ..<3600: (seconds / 60, "minute")
            case ..<86_400: (seconds / 3600, "hour")
            default: (seconds / 86_400, "day")
            }
        return "\(count) \(unit)\(count == 1 ? "" : "s") ago"
    }
}
