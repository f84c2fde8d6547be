import AgentCore
import AgentTestSupport
import CloudHypervisorStub
import Foundation
import Logging
import SystemPackage

@testable import HypervisorPlugin

/// A Cloud Hypervisor driver over the stub, with a machine to start, and nothing left of it at the end.
struct StubFixture: Sendable {
    let driver: CloudHypervisorDriver
    var machine: MachineDescription
    let scratch: Scratch
    let configuration: CloudHypervisorConfiguration
    let timing: CloudHypervisorMachine.Timing

    static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    static let session = "00112233445566778899aabbccddeeff"

    /// Runs `body`, and holds the driver to the specification: every request that it made was as documented.
    ///
    /// - Parameters:
    ///   - timing: How long the driver waits.
    ///   - change: Of what the stub does.
    ///   - body: The test.
    /// - Throws: What `body` throws; ``ConformanceFailure`` for a request that is not as documented.
    static func with(
        timing: CloudHypervisorMachine.Timing = .init(),
        _ change: (inout Plan) -> Void = { _ in },
        _ body: (StubFixture) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch in
            let executable = try install("v52.0.0", in: scratch, "vmm", change)
            let configuration = CloudHypervisorConfiguration(
                executables: [executable],
                writableDirectories: [scratch.path]
            )
            let fixture = StubFixture(
                driver: makeDriver(configuration, timing),
                machine: MachineDescription(
                    instance: .random(),
                    size: MachineSize(vcpus: 1, memory: .mebibytes(192)),
                    kernel: try scratch.write([1], to: "kernel"),
                    initrd: try scratch.write([2], to: "initrd"),
                    kernelArguments: ["word=1"],
                    disks: [
                        .init(serial: "rootfs", path: try scratch.write([3], to: "root"), readOnly: true),
                        .init(serial: "overlay", path: try scratch.write([4], to: "overlay"), readOnly: false),
                    ],
                    card: nil,
                    runtimeDirectory: try scratch.directory("run")
                ),
                scratch: scratch,
                configuration: configuration,
                timing: timing
            )
            let result: Result<Void, any Error>
            do { result = .success(try await body(fixture)) } catch { result = .failure(error) }
            let requests = try fixture.requests()
            try await fixture.driver.reap(
                instance: fixture.machine.instance,
                runtimeDirectory: RuntimeDirectory(path: fixture.machine.runtimeDirectory)
            )
            try result.get()
            let problems = requests.flatMap { request in request.problems.map { "\(request.action): \($0)" } }
            guard problems.isEmpty else { throw ConformanceFailure("requests are not as specified: \(problems)") }
        }
    }

    /// Puts a stub of a version into a directory of its own.
    static func install(
        _ version: String,
        in scratch: Scratch,
        _ name: String,
        _ change: (inout Plan) -> Void = { _ in }
    ) throws -> FilePath {
        let directory = try scratch.directory(name)
        var plan = Plan(log: directory.appending("requests.log").string)
        plan.version = version
        change(&plan)
        try JSONEncoder().encode(plan).write(to: URL(filePath: directory.appending("plan.json").string))
        let executable = directory.appending("cloud-hypervisor")
        guard let tests = Bundle.main.executablePath else { throw ConformanceFailure("there is no path of the tests") }
        try FileManager.default.createSymbolicLink(
            atPath: executable.string,
            withDestinationPath: FilePath(tests).removingLastComponent().appending("cloud-hypervisor-stub").string
        )
        return executable
    }

    /// A driver that believes in a KVM, which the stub does not need.
    static func makeDriver(
        _ configuration: CloudHypervisorConfiguration,
        _ timing: CloudHypervisorMachine.Timing = .init()
    ) -> CloudHypervisorDriver {
        CloudHypervisorDriver(
            configuration: configuration,
            supervisor: ChildProcessSupervisor(logger: logger),
            logger: logger,
            probe: CloudHypervisorProbe(configuration, kvm: { .usable }),
            timing: timing
        )
    }

    func restarted() -> CloudHypervisorDriver { Self.makeDriver(configuration, timing) }

    func start() async throws -> any VirtualMachine { try await driver.start(machine, session: Self.session) }

    /// What the stub was asked, in order.
    func requests(_ name: String = "vmm") throws -> [LoggedRequest] {
        let path = scratch.path.appending(name).appending("requests.log").string
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        let decoder = JSONDecoder()
        return try text.split(separator: "\n").map { try decoder.decode(LoggedRequest.self, from: Data($0.utf8)) }
    }

    /// What is in the machine's runtime directory.
    func runtimeFiles() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: machine.runtimeDirectory.string).sorted()
    }

    func processes() throws -> [Int32] {
        try ProcessTable.processes(
            withArgument: CloudHypervisorDriver.mark(try CloudHypervisorFiles(machine.runtimeDirectory))
        )
    }
}
