/// One claim of a conformance suite, an argument of a parameterised test.
public struct ConformanceClaim<Subject: Sendable>: Sendable, CustomStringConvertible {
    /// The claim in words.
    public let description: String
    private let body: @Sendable (Subject) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
        self.description = description
        self.body = body
    }

    /// Checks it.
    ///
    /// - Throws: ``ConformanceFailure``, or what the subject threw.
    public func check(_ subject: Subject) async throws { try await body(subject) }
}

/// The value, or a failure that says that there is none.
func require<Value>(_ value: Value?, _ message: @autoclosure () -> String) throws -> Value {
    guard let value else { throw ConformanceFailure(message()) }
    return value
}

/// Runs `body`, and fails if it has not ended after `time`, which ``Patience`` stretches.
///
/// `body` must react to cancellation.
func within<Value: Sendable>(
    _ time: Duration,
    _ what: String,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: Patience.of(time))
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else {
            throw ConformanceFailure("\(what) did not happen within \(Patience.of(time))")
        }
        return value
    }
}
