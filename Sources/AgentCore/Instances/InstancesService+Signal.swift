extension InstancesService {
    /// Sends a signal to an instance's program.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - number: From 1 to 64.
    /// - Throws: `invalidState` if it isn't Running, `invalidArgument` `invalid_signal`, `unavailable`.
    public func signal(_ reference: String, _ number: Int) async throws {
        guard (1...64).contains(number) else {
            throw AgentError(.invalidArgument, code: "invalid_signal", "signal \(number) is not from 1 to 64")
        }
        try await controller(reference).signal(number)
    }
}
