import AgentCore
import AgentTestSupport
import Foundation
import NIOPosix
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// hypeman-init in a real machine whose channel is a vsock.
///
/// The machine is QEMU's, and its vsock a device of the tests' own (vhost-user-vsock.py), which carries connections as
/// Cloud Hypervisor does: the guest's kernel, its listener and the host's end are the real ones.
@Suite(.serialized) struct VsockGuestTests {
    @Test(arguments: GuestChannelConformance.claims)
    func hypemanInitIsAGuestOverVsock(_ claim: ConformanceClaim<GuestChannelConformance.Subject>) async throws {
        try await Scratch.with { scratch in
            let machine = try await MachineDescription.guest(in: scratch, program: ["cat"], openStandardInput: true)
            let live = try await VsockMachine.start(machine)
            do {
                try await claim.check(GuestChannelConformance.Subject(machine: live))
            } catch {
                let console = try? String(contentsOfFile: live.console(of: machine).string, encoding: .utf8)
                Issue.record("\(error); the console: \(console ?? "")")
            }
            try await live.end()
        }
    }
}

/// As much of a machine as its channel needs.
private final class VsockMachine: VirtualMachine {
    let record: MachineRecord
    let events: AsyncStream<MachineEvent>
    let console = AsyncStream<[UInt8]> { $0.finish() }
    private let processes: [any SupervisedProcess]
    private let socket: FilePath
    private let channel = GuestChannelOpening()

    private init(_ record: MachineRecord, _ processes: [any SupervisedProcess], _ socket: FilePath) {
        self.record = record
        self.processes = processes
        self.socket = socket
        let machine = processes[0]
        events = AsyncStream { continuation in
            Task {
                let exit = try await machine.waitForExit()
                // Nobody listens to its QMP: a reset would end it in the same way.
                if exit == .code(0) { continuation.yield(.poweredOff) }
                continuation.yield(.exited(exit))
                continuation.finish()
            }
        }
    }

    static func start(_ machine: MachineDescription) async throws -> VsockMachine {
        let supervisor = ChildProcessSupervisor(logger: QEMUFixture.logger)
        let directory = machine.runtimeDirectory
        let (vhost, vsock) = (directory.appending("vhost.sock"), directory.appending("vsock.sock"))
        let script = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
            .appending("vhost-user-vsock/vhost-user-vsock.py")
        let device = try await supervisor.start(
            ProcessSpecification(
                executable: try #require(ExecutableSearch.find("python3", path: nil)),
                arguments: [script.string, vhost.string, vsock.string],
                environment: ["PYTHONDONTWRITEBYTECODE": "1"],
                workingDirectory: "/",
                outputFile: directory.appending("device.log"),
                mark: vhost.string
            )
        )
        try await withDeadline(.seconds(30), "the device does not listen") {
            while access(vsock.string, F_OK) != 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
        let information = try await QEMUFixture.makeDriver().information()
        let specification = ProcessSpecification(
            executable: information.executable,
            arguments: try arguments(machine, information.accelerator, vhost),
            environment: ["LC_ALL": "C"],
            workingDirectory: "/",
            outputFile: directory.appending("vmm.log"),
            mark: QEMUArguments.mark(machine.instance)
        )
        let process = try await supervisor.start(specification)
        let record = MachineRecord(
            hypervisor: .cloudHypervisor,
            version: information.version,
            accelerator: information.accelerator,
            process: process.identity,
            runtimeDirectory: directory,
            session: GuestDisks.session
        )
        return VsockMachine(record, [process, device], vsock)
    }

    /// Those of an ordinary machine, with a vsock instead of the port, and memory that the device can see.
    private static func arguments(
        _ machine: MachineDescription,
        _ accelerator: Accelerator,
        _ vhost: FilePath
    ) throws -> [String] {
        let all = try QEMUArguments(
            machine: machine,
            accelerator: accelerator,
            files: try QEMUFiles(machine.runtimeDirectory),
            vhost: false
        ).make()
        let flags = ["-nodefaults", "-no-user-config", "-no-reboot"]
        var made = flags
        var rest = all.filter { !flags.contains($0) && $0 != "-S" }[...]
        while let option = rest.popFirst(), let value = rest.popFirst() {
            switch option {
            case "-serial", "-sandbox": continue
            case "-chardev" where value.contains("id=channel") || value.contains("id=console"): continue
            case "-device" where value.contains("virtserialport") || value.contains("virtio-serial"): continue
            case "-machine": made += [option, value + ",memory-backend=memory"]
            default: made += [option, value]
            }
        }
        return made + [
            "-object", "memory-backend-memfd,id=memory,size=\(machine.size.memory.bytes),share=on",
            "-chardev", "socket,id=vsock,path=\(vhost)", "-device", "vhost-user-vsock-pci,chardev=vsock",
            "-serial", "file:\(machine.runtimeDirectory.appending("console.log"))",
        ]
    }

    func console(of machine: MachineDescription) -> FilePath { machine.runtimeDirectory.appending("console.log") }

    func end() async throws {
        for process in processes {
            process.signal(SIGKILL)
            _ = try await process.waitForExit()
        }
    }

    func openGuestChannel() async throws -> any GuestChannel {
        let (socket, session) = (socket, record.session)
        return try await channel.open {
            try await GuestConnection.open(
                socket: socket,
                vsockPort: 721,
                session: session,
                on: MultiThreadedEventLoopGroup.singleton,
                logger: QEMUFixture.logger
            )
        }
    }

    func kill() async { for process in processes { process.signal(SIGKILL) } }

    func pause() async throws { throw unused }
    func resume() async throws { throw unused }
    func snapshot(to directory: SnapshotDirectory) async throws { throw unused }
    func resize(to size: MachineSize) async throws { throw unused }
    func attach(_ disk: MachineDescription.Disk) async throws { throw unused }
    func detach(_: MachineDescription.Disk) async throws { throw unused }
    func attach(_ card: MachineDescription.Card) async throws { throw unused }
    func detachCard() async throws { throw unused }
    func pressPowerButton() async throws { throw unused }
    func counters() async throws -> MachineCounters { throw unused }

    private var unused: AgentError { AgentError(.notSupported, "it has a channel, and no more") }
}
