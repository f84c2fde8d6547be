import Glibc

/// The header of that name (RFC 9110, 10.2.3): a number of seconds, or a date.
enum RetryAfter {
    /// How long from now on; nil if it is neither.
    static func duration(_ text: String, now: time_t = time(nil)) -> Duration? {
        if text.utf8.allSatisfy({ (48...57).contains($0) }), !text.isEmpty {
            return .seconds(Int(text) ?? .max >> 32)
        }
        return date(text).map { .seconds(max(0, $0 - now)) }
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that may be sent (RFC 9110, 5.6.7).
    private static func date(_ text: String) -> time_t? {
        let parts = text.split(whereSeparator: { " ,:".contains($0) })
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard text.utf8.count == 29, parts.count == 8, parts[7] == "GMT",
            let month = months.firstIndex(of: String(parts[2])), let day = Int32(parts[1]), let year = Int32(parts[3]),
            (1900...9999).contains(year), let hour = Int32(parts[4]), let minute = Int32(parts[5]),
            let second = Int32(parts[6])
        else { return nil }
        var time = tm()
        time.tm_year = year - 1900
        time.tm_mon = Int32(month)
        time.tm_mday = day
        time.tm_hour = hour
        time.tm_min = minute
        time.tm_sec = second
        return timegm(&time)
    }
}
