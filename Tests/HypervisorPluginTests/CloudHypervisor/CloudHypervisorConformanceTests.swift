import AgentCore
import AgentTestSupport
import Foundation
import Glibc
import SystemPackage
import Testing

@testable import HypervisorPlugin

@Suite(.serialized) struct CloudHypervisorConformanceTests {
    @Test(arguments: HypervisorConformance.claims)
    func withTheStubItIsAHypervisor(_ claim: ConformanceClaim<HypervisorConformance.Subject>) async throws {
        try await StubFixture.with { fixture in
            try await claim.check(
                HypervisorConformance.Subject(
                    driver: fixture.driver,
                    restart: { fixture.restarted() },
                    machine: fixture.machine,
                    snapshots: try fixture.scratch.directory("snapshots")
                )
            )
            #expect(try fixture.processes() == [])
        }
    }

    /// Runs where CLOUD_HYPERVISOR or PATH names the real one and KVM runs guests, and nowhere else.
    @Test(
        .enabled(if: RealCloudHypervisor.isHere, "needs a Cloud Hypervisor and KVM"),
        arguments: HypervisorConformance.claims
    )
    func withARealOneAndKVMItIsAHypervisor(_ claim: ConformanceClaim<HypervisorConformance.Subject>) async throws {
        let files = try GuestFiles.find()
        try await Scratch.with { scratch in
            let machine = MachineDescription(
                instance: .random(),
                size: MachineSize(vcpus: 1, memory: .mebibytes(192)),
                kernel: files.kernel,
                initrd: try scratch.write(TinyGuest.waits.initrd, to: "initrd"),
                kernelArguments: [],
                disks: [],
                card: nil,
                runtimeDirectory: try scratch.directory("run")
            )
            let snapshots = try scratch.directory("snapshots")
            let driver = RealCloudHypervisor.makeDriver(snapshots)
            try await claim.check(
                HypervisorConformance.Subject(
                    driver: driver,
                    restart: { RealCloudHypervisor.makeDriver(snapshots) },
                    machine: machine,
                    snapshots: snapshots
                )
            )
            try await driver.reap(
                instance: machine.instance,
                runtimeDirectory: RuntimeDirectory(path: machine.runtimeDirectory)
            )
        }
    }
}

/// The one that is on this host.
enum RealCloudHypervisor {
    private static let executable: FilePath? = {
        let configured = getenv("CLOUD_HYPERVISOR").map { String(cString: $0) }?.split(separator: ":").first
        let path = getenv("PATH").map { String(cString: $0) }
        return configured.map { FilePath(String($0)) } ?? ExecutableSearch.find("cloud-hypervisor", path: path)
    }()

    static var isHere: Bool { executable != nil && KVMProbe.run() == .usable }

    static func makeDriver(_ directory: FilePath) -> CloudHypervisorDriver {
        CloudHypervisorDriver(
            configuration: CloudHypervisorConfiguration(
                executables: executable.map { [$0] } ?? [],
                writableDirectories: [directory]
            ),
            supervisor: ChildProcessSupervisor(logger: StubFixture.logger),
            logger: StubFixture.logger
        )
    }
}
