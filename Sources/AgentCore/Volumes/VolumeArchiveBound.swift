/// How much of an archive is received for a volume.
public struct VolumeArchiveBound: Sendable {
    /// An archive has headers and padding, and its compression may gain nothing.
    private static let overhead = 64 << 20
    /// Of one whose volume's size is not known yet.
    private static let largest = ByteSize.gibibytes(64)

    private let limit: Int
    private var received = 0

    /// - Parameter size: The volume's; nil if it is not known yet.
    public init(volume size: ByteSize?) {
        // The largest volume is far from what would overflow here; a size that was not checked may not be.
        limit = min(size?.bytes ?? Self.largest.bytes, Int.max / 4) * 2 + Self.overhead
    }

    /// Whether so many bytes more may come.
    ///
    /// - Throws: `invalidArgument` `archive_too_large`.
    public func check(_ count: Int) throws(AgentError) {
        guard count > limit - received else { return }
        throw AgentError(
            .invalidArgument,
            code: "archive_too_large",
            "the archive is larger than \(ByteSize(bytes: limit)), more than can be in a volume of that size"
        )
    }

    /// So many bytes have come.
    ///
    /// - Throws: As ``check(_:)``.
    public mutating func take(_ count: Int) throws(AgentError) {
        try check(count)
        received += count
    }
}
