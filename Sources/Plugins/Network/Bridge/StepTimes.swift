import Logging

/// How long the steps of a piece of work took, for the log: in microseconds.
struct StepTimes {
    private(set) var metadata: Logger.Metadata

    init(_ metadata: Logger.Metadata) { self.metadata = metadata }

    /// Does a step; one that fails is timed, too.
    @discardableResult
    mutating func measure<Value>(_ step: String, _ body: () async throws -> Value) async rethrows -> Value {
        let clock = ContinuousClock()
        let began = clock.now
        defer { metadata[step] = "\(Int((clock.now - began) / .microseconds(1)))" }
        return try await body()
    }
}
