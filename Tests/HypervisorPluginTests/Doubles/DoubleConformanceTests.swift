import AgentCore
import AgentTestSupport
import GuestProtocol
import NetworkPlugin
import SystemPackage
import Testing

/// The doubles hold what the real backends do.
struct DoubleConformanceTests {
    private var machine: MachineDescription {
        MachineDescription(
            instance: .random(),
            size: MachineSize(vcpus: 1, memory: .mebibytes(128)),
            kernel: "/k",
            initrd: "/i",
            kernelArguments: [],
            disks: [],
            card: nil,
            runtimeDirectory: "/run/m"
        )
    }

    @Test(arguments: HypervisorConformance.claims)
    func theInMemoryHypervisorIsOne(_ claim: ConformanceClaim<HypervisorConformance.Subject>) async throws {
        var behaviour = GuestBehaviour()
        behaviour.console = "hello"
        let driver = InMemoryHypervisor(behaviour: behaviour)
        try await Scratch.with { scratch in
            try await claim.check(
                HypervisorConformance.Subject(
                    driver: driver,
                    restart: { driver.restarted() },
                    machine: machine,
                    snapshots: scratch.path
                )
            )
        }
        #expect(driver.host.running == [])
    }

    @Test(arguments: GuestChannelConformance.claims)
    func theInMemoryGuestIsOne(_ claim: ConformanceClaim<GuestChannelConformance.Subject>) async throws {
        var behaviour = GuestBehaviour()
        behaviour.output = "some output"
        behaviour.input = .echoed
        behaviour.exec = { request in
            guard request.program.arguments.first == "echo" else { return GuestBehaviour.standardCommand(request) }
            return .finishes(stdout: request.program.arguments.dropFirst().joined(separator: " ") + "\n")
        }
        let driver = InMemoryHypervisor(behaviour: behaviour)
        let live = try await driver.start(machine, session: "s")
        try await claim.check(GuestChannelConformance.Subject(machine: live))
    }

    @Test(arguments: ProcessSupervisorConformance.claims)
    func theInMemorySupervisorIsOne(_ claim: ConformanceClaim<ProcessSupervisorConformance.Subject>) async throws {
        func process(_ program: FilePath, _ arguments: [String]) -> ProcessSpecification {
            ProcessSpecification(
                executable: program,
                arguments: arguments,
                environment: [:],
                workingDirectory: "/",
                outputFile: "/dev/null",
                mark: arguments.first ?? ""
            )
        }
        let supervisor = InMemorySupervisor { $0.executable == "/ends" ? .code(7) : nil }
        try await claim.check(
            ProcessSupervisorConformance.Subject(
                supervisor: supervisor,
                restart: { supervisor.restarted() },
                lasting: process("/lasts", ["mark"]),
                ending: process("/ends", [])
            )
        )
    }

    @Test(arguments: NetworkConformance.claims)
    func theInMemoryNetworkIsOne(_ claim: ConformanceClaim<any NetworkBackend>) async throws {
        try await claim.check(InMemoryNetwork())
    }

    @Test(arguments: NetworkConformance.claims)
    func noNetworkIsANetworkBackend(_ claim: ConformanceClaim<any NetworkBackend>) async throws {
        try await claim.check(NoNetwork())
    }
}
