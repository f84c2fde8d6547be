import AgentCore
import AgentTestSupport
import SystemPackage
import Testing

@testable import HypervisorPlugin

@Suite(.serialized) struct QEMUConformanceTests {
    @Test(arguments: HypervisorConformance.claims)
    func qemuIsAHypervisor(_ claim: ConformanceClaim<HypervisorConformance.Subject>) async throws {
        try await QEMUFixture.with(.waits) { fixture in
            try await claim.check(
                HypervisorConformance.Subject(
                    driver: fixture.driver,
                    restart: { QEMUFixture.makeDriver() },
                    machine: fixture.machine,
                    snapshots: fixture.scratch.appending("snapshots")
                )
            )
            #expect(try fixture.processes() == [])
        }
    }
}
