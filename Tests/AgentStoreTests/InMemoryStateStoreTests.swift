import AgentTestSupport
import Testing

/// The double keeps the promises of the real store.
@Suite struct InMemoryStateStoreTests {
    private let conformance = StateStoreConformance { InMemoryStateStore() }

    @Test func loadsWhatWasCommitted() async throws { try await conformance.loadsWhatWasCommitted() }
    @Test func keepsSnapshots() async throws { try await conformance.keepsSnapshots() }
    @Test func keepsVolumes() async throws { try await conformance.keepsVolumes() }
    @Test func commitsAllOrNothing() async throws { try await conformance.commitsAllOrNothing() }
    @Test func keepsAddressesAndPortsApart() async throws { try await conformance.keepsAddressesAndPortsApart() }
    @Test func remembersTheLastAddress() async throws { try await conformance.remembersTheLastAddress() }
    @Test func loadsOperationsUnderWay() async throws { try await conformance.loadsOperationsUnderWay() }
    @Test func numbersEvents() async throws { try await conformance.numbersEvents() }
}
