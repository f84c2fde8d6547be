#if canImport(Glibc)
import Glibc
#endif

/// Finds a pattern in a stream of bytes, however it is split.
///
/// The pattern's first byte must occur only once in it: then a mismatch leaves nothing to go back to, and all but
/// candidates for the start are skipped by memchr(3).
struct MarkerMatcher: Sendable {
    private let pattern: [UInt8]
    private var matched = 0

    init(pattern: [UInt8]) {
        precondition(!pattern.isEmpty && !pattern.dropFirst().contains(pattern[0]))
        self.pattern = pattern
    }

    /// Looks at the next bytes of the stream.
    ///
    /// - Returns: How many of them there are up to and including the end of the pattern, nil if it does not end here.
    ///   After a match the search begins anew.
    mutating func advance(over bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 0
        while index < bytes.count {
            if matched == 0 {
                guard let base = bytes.baseAddress,
                    let hit = memchr(base + index, Int32(pattern[0]), bytes.count - index)
                else { return nil }
                index = UnsafeRawPointer(hit) - base + 1
                matched = 1
            } else if bytes[index] == pattern[matched] {
                matched += 1
                index += 1
            } else {
                // The byte itself may be a start: look at it again.
                matched = 0
                continue
            }
            if matched == pattern.count {
                matched = 0
                return index
            }
        }
        return nil
    }
}
