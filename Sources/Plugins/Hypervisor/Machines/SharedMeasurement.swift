/// What is found out about the host once, for all who ask; again for the next one as long as it fails, since what was
/// missing may be installed meanwhile.
actor SharedMeasurement<Value: Sendable> {
    private let measure: @Sendable () async throws -> Value
    /// What was found, or the measuring that is under way.
    private var measuring: Task<Value, any Error>?

    init(_ measure: @escaping @Sendable () async throws -> Value) {
        self.measure = measure
    }

    /// - Throws: What measuring does.
    func value() async throws -> Value {
        // Not cancelled with the first caller: others may wait for the same answer, which comes within its deadline.
        let measuring = measuring ?? Task { [measure] in try await measure() }
        self.measuring = measuring
        do {
            return try await measuring.value
        } catch {
            if self.measuring == measuring { self.measuring = nil }
            throw error
        }
    }
}
