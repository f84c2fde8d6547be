public import struct Foundation.Date

/// What time it is and how to wait: the system's, or a test's.
public struct TimeSource: Sendable {
    /// The wall clock, for timestamps that a person reads.
    public let now: @Sendable () -> Date
    /// The monotonic clock, for deadlines and durations.
    public let clock: any Clock<Duration>

    public init(now: @escaping @Sendable () -> Date, clock: any Clock<Duration>) {
        self.now = now
        self.clock = clock
    }

    /// The host's clocks.
    public static var system: TimeSource { TimeSource(now: { Date() }, clock: ContinuousClock()) }
}
