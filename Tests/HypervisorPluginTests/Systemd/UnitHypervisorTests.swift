import AgentCore
import AgentTestSupport
import CloudHypervisorStub
import Foundation
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// Hypervisors whose VMMs are units, each with a user, a mount namespace and limits of its own: in the whole-host machine,
/// as the agent's user.
@Suite(.serialized, .enabled(if: SupervisorKind.obstacle() == nil))
struct UnitHypervisorTests {
    private static func makeSupervisor() throws -> SystemdSupervisor {
        try SystemdSupervisor(
            configuration: ProcessesConfiguration(dataDirectory: SupervisorKind.dataDirectory),
            logger: QEMUFixture.logger
        )
    }

    /// A machine whose files are where the agent has them.
    private static func with(
        _ body: (MachineDescription, _ snapshots: FilePath) async throws -> Void
    ) async throws {
        let kernel = try GuestFiles.find().kernel
        let instance = InstanceID.random()
        let data = SupervisorKind.dataDirectory.appending("test-\(instance)")
        let runtime = FilePath("/run/hypeman/vms").appending(instance.rawValue)
        let snapshots = data.appending("snapshots")
        for directory in [snapshots, runtime] {
            try FileManager.default.createDirectory(
                atPath: directory.string,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        }
        defer { for path in [data, runtime] { try? FileManager.default.removeItem(atPath: path.string) } }
        let initrd = data.appending("initrd")
        try Data(TinyGuest.waits.initrd).write(to: URL(filePath: initrd.string))
        try await body(
            MachineDescription(
                instance: instance,
                size: MachineSize(vcpus: 1, memory: .mebibytes(192)),
                kernel: kernel,
                initrd: initrd,
                kernelArguments: [],
                disks: [],
                card: nil,
                runtimeDirectory: runtime
            ),
            snapshots
        )
    }

    @Test(arguments: HypervisorConformance.claims)
    func qemuInUnitsIsAHypervisor(_ claim: ConformanceClaim<HypervisorConformance.Subject>) async throws {
        @Sendable func makeDriver(_ supervisor: SystemdSupervisor) -> QEMUDriver {
            QEMUDriver(
                configuration: QEMUConfiguration(accelerator: AcceleratorUnderTest.choice),
                supervisor: supervisor,
                logger: QEMUFixture.logger
            )
        }
        let (first, next) = (try Self.makeSupervisor(), try Self.makeSupervisor())
        try await Self.with { machine, snapshots in
            let subject = HypervisorConformance.Subject(
                driver: makeDriver(first),
                restart: { makeDriver(next) },
                machine: machine,
                snapshots: snapshots
            )
            try await Self.check(claim, subject)
        }
    }

    /// The stub is a program as the real one is, with its sockets, its locks and its files.
    ///
    /// Snapshots only as far as they have to do with units, which the last claim shows: each takes half a minute there.
    @Test(arguments: HypervisorConformance.lifeClaims + HypervisorConformance.changeClaims)
    func cloudHypervisorsStubInUnitsIsAHypervisor(
        _ claim: ConformanceClaim<HypervisorConformance.Subject>
    ) async throws {
        // Of what a unit sees, the one place where this user can put a program.
        let place = FilePath("/dev/shm/hypeman-test-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(atPath: place.string, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place.string) }
        let stub = BuiltProgram.path("cloud-hypervisor-stub")
        var contents = Plan(log: "/dev/null")
        // The sources are not there.
        contents.specification = stub.removingLastComponent().appending("cloud-hypervisor.yaml").string
        let plan = place.appending("plan.json").string
        try JSONEncoder().encode(contents).write(to: URL(filePath: plan))
        let executable = place.appending("cloud-hypervisor")
        try FileManager.default.createSymbolicLink(atPath: executable.string, withDestinationPath: stub.string)
        #expect(chmod(place.string, 0o755) == 0 && chmod(plan, 0o644) == 0)
        @Sendable func makeDriver(_ supervisor: SystemdSupervisor) -> CloudHypervisorDriver {
            let configuration = CloudHypervisorConfiguration(
                executables: [executable],
                writableDirectories: [SupervisorKind.dataDirectory]
            )
            return CloudHypervisorDriver(
                configuration: configuration,
                supervisor: supervisor,
                logger: QEMUFixture.logger,
                probe: CloudHypervisorProbe(configuration, kvm: { .usable })
            )
        }
        let (first, next) = (try Self.makeSupervisor(), try Self.makeSupervisor())
        try await Self.with { machine, snapshots in
            let subject = HypervisorConformance.Subject(
                driver: makeDriver(first),
                restart: { makeDriver(next) },
                machine: machine,
                snapshots: snapshots
            )
            try await Self.check(claim, subject)
        }
    }

    /// Checks a claim, and that nothing of its VMM is left.
    private static func check(
        _ claim: ConformanceClaim<HypervisorConformance.Subject>,
        _ subject: HypervisorConformance.Subject
    ) async throws {
        let machine = subject.machine
        let result: Result<Void, any Error>
        do { result = .success(try await claim.check(subject)) } catch { result = .failure(error) }
        try await subject.restart().reap(
            instance: machine.instance,
            runtimeDirectory: RuntimeDirectory(path: machine.runtimeDirectory)
        )
        try result.get()
        let mirror = SupervisorKind.dataDirectory.appending("vms").appending(machine.instance.rawValue).string
        #expect(!FileManager.default.fileExists(atPath: mirror))
    }
}

/// What the drivers tell a supervisor, whatever it is.
struct VMMSpecificationTests {
    /// The description of the process of a driver's start, which is refused.
    private func specification(
        _ makeDriver: (any ProcessSupervisor) -> any HypervisorDriver,
        _ machine: MachineDescription
    ) async throws -> ProcessSpecification {
        let seen = Mutex<ProcessSpecification?>(nil)
        let supervisor = InMemorySupervisor { specification in
            seen.withLock { $0 = specification }
            return .code(1)
        }
        await #expect(throws: AgentError.self) {
            try await makeDriver(supervisor).start(machine, session: QEMUFixture.session)
        }
        return try #require(seen.withLock { $0 })
    }

    private func expectUnit(_ specification: ProcessSpecification, of machine: MachineDescription) {
        #expect(specification.unit == .machine(machine.instance))
        #expect(Set(specification.files) == Set(machine.files))
        #expect(specification.capabilities == [])
        let memory = specification.limits.memory?.bytes ?? 0
        let largest = machine.largestSize ?? machine.size
        #expect(memory > largest.memory.bytes && memory < 3 * largest.memory.bytes + (2 << 30))
        #expect(specification.limits.processors == Double(largest.vcpus + 2))
    }

    @Test func aVMMIsAUnitWithItsFilesAndTheLimitsOfItsLargestSize() async throws {
        try await StubFixture.with { fixture in
            var machine = fixture.machine
            machine.largestSize = MachineSize(vcpus: 4, memory: .mebibytes(1024))
            let configuration = fixture.configuration
            let cloudHypervisor = try await specification(
                {
                    CloudHypervisorDriver(
                        configuration: configuration,
                        supervisor: $0,
                        logger: QEMUFixture.logger,
                        probe: CloudHypervisorProbe(configuration, kvm: { .usable })
                    )
                },
                machine
            )
            expectUnit(cloudHypervisor, of: machine)
            machine.largestSize = nil
            let qemu = try await specification(
                {
                    QEMUDriver(
                        configuration: QEMUConfiguration(accelerator: AcceleratorUnderTest.choice),
                        supervisor: $0,
                        logger: QEMUFixture.logger
                    )
                },
                machine
            )
            expectUnit(qemu, of: machine)
        }
    }
}
