#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// The time as HTTP writes it (RFC 9110, 5.6.7).
enum HTTPDate {
    static var now: String { format(time(nil)) }

    /// Formats seconds since 1970; the C locale's names of days and months are HTTP's.
    static func format(_ seconds: time_t) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 40) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            return String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
    }
}
