import AgentCore
import Testing

@Suite struct DeadlineTests {
    @Test func aResultInTimeIsReturned() async throws {
        #expect(try await withDeadline(.seconds(60), clock: ContinuousClock(), "it") { 7 } == 7)
    }

    @Test func itFiresAlthoughTheBodyIgnoresCancellation() async {
        let (stuck, release) = AsyncStream.makeStream(of: Void.self)
        // A task's value does not react to the cancellation of whoever awaits it.
        let deaf = Task { for await _ in stuck {} }
        let error = await #expect(throws: AgentError.self) {
            try await withDeadline(.milliseconds(20), clock: ContinuousClock(), "the deaf") { await deaf.value }
        }
        #expect(error?.kind == .timeout)
        #expect(error?.message.hasPrefix("the deaf did not finish within") == true)
        release.finish()
        await deaf.value
    }

    @Test func cancellingTheCallerCancelsTheBody() async {
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        let (ended, end) = AsyncStream.makeStream(of: Void.self)
        let caller = Task {
            try await withDeadline(.seconds(600), clock: ContinuousClock(), "it") {
                start.finish()
                defer { end.finish() }
                try await Task.sleep(for: .seconds(600))
            }
        }
        for await _ in started {}
        caller.cancel()
        await #expect(throws: CancellationError.self) { try await caller.value }
        for await _ in ended {}
    }
}
