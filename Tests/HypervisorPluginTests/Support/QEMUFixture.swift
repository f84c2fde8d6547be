import AgentCore
import AgentTestSupport
import Foundation
import Logging
import SystemPackage

@testable import HypervisorPlugin

/// A QEMU driver with a machine to start, and nothing left of it at the end.
struct QEMUFixture: Sendable {
    let driver: QEMUDriver
    var machine: MachineDescription
    let scratch: FilePath

    static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    static let session = "00112233445566778899aabbccddeeff"

    static func makeDriver() -> QEMUDriver {
        QEMUDriver(
            configuration: QEMUConfiguration(accelerator: AcceleratorUnderTest.choice),
            supervisor: ChildProcessSupervisor(logger: logger),
            logger: logger
        )
    }

    static func with(_ guest: TinyGuest, _ body: (QEMUFixture) async throws -> Void) async throws {
        let files = try GuestFiles.find()
        try await Scratch.with { scratch in
            let machine = MachineDescription(
                instance: .random(),
                size: MachineSize(vcpus: 1, memory: .mebibytes(192)),
                kernel: files.kernel,
                initrd: try scratch.write(guest.initrd, to: "initrd"),
                kernelArguments: [],
                disks: [],
                card: nil,
                runtimeDirectory: try scratch.directory("run")
            )
            try await with(machine, body)
        }
    }

    /// The same with a machine of the caller's, whose runtime directory lies in a scratch directory.
    static func with(_ machine: MachineDescription, _ body: (QEMUFixture) async throws -> Void) async throws {
        let scratch = machine.runtimeDirectory.removingLastComponent()
        let fixture = QEMUFixture(driver: makeDriver(), machine: machine, scratch: scratch)
        let result: Result<Void, any Error>
        do { result = .success(try await body(fixture)) } catch { result = .failure(error) }
        try await makeDriver().reap(
            instance: machine.instance,
            runtimeDirectory: RuntimeDirectory(path: machine.runtimeDirectory)
        )
        try result.get()
    }

    func start() async throws -> any VirtualMachine { try await driver.start(machine, session: Self.session) }

    /// What is in the machine's runtime directory.
    func runtimeFiles() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: machine.runtimeDirectory.string).sorted()
    }

    /// The processes that carry the instance's mark, which the agent can ask itself.
    func processes() throws -> [Int32] {
        try ProcessTable.processes(withArgument: QEMUArguments.mark(machine.instance))
    }
}

/// Collects a machine's console and events until it ends.
func observe(_ machine: any VirtualMachine) async throws -> (console: String, events: [MachineEvent]) {
    try await withDeadline(Patience.of(.seconds(60)), "the machine did not end") {
        async let console = { () async -> [UInt8] in
            var bytes: [UInt8] = []
            for await chunk in machine.console { bytes += chunk }
            return bytes
        }()
        var events: [MachineEvent] = []
        for await event in machine.events { events.append(event) }
        return (String(decoding: await console, as: UTF8.self), events)
    }
}
