/// How long to wait before something that ended too early is started again.
struct BackOff {
    private static let first = Duration.milliseconds(200)
    private static let longest = Duration.seconds(30)
    /// What lived as long as this did not end for the reason of the last time.
    private static let steady = Duration.seconds(60)

    private var delay = Self.first

    /// Tells how long it lived this time.
    mutating func note(lifetime: Duration) {
        if lifetime >= Self.steady { delay = Self.first }
    }

    /// The next pause: each is twice the one before.
    mutating func next() -> Duration {
        defer { delay = min(delay * 2, Self.longest) }
        return delay
    }
}
