/// How long to wait before the next look at something that does not tell when it is ready.
///
/// A part of the time that it took so far: what took long is noticed late by no more than that part, and what is quick at
/// once.
struct PollingPause {
    private static let shortest = Duration.milliseconds(1)
    private static let longest = Duration.milliseconds(20)
    /// Pauses in the time that it took so far.
    private static let count = 20

    private let began = ContinuousClock.now

    func sleep() async throws {
        let pause = (ContinuousClock.now - began) / Self.count
        try await Task.sleep(for: min(max(pause, Self.shortest), Self.longest))
    }
}
