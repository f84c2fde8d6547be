import AgentCore
import HypervisorPlugin
import Testing

struct QEMUPluginTests {
    private let graph = Graph {
        ProcessesPlugin.providers(.child)
        QEMUPlugin.providers
        value(QEMUConfiguration())
        value(QEMUFixture.logger)
    }

    @Test func itContributesADriverThatIsQEMU() async throws {
        let drivers = try await graph.with([any HypervisorDriver].self) { drivers in drivers.map(\.name) }
        #expect(drivers == [.qemu])
    }

    @Test func itGivesTheProcessSupervisorToo() {
        #expect(graph.problems(for: (any ProcessSupervisor).self).isEmpty)
    }
}
