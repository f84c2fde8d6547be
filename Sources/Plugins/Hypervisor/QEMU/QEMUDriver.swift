public import AgentCore
import Glibc
public import Logging
import NIOCore
import NIOPosix
import SystemPackage

/// Runs machines in QEMU, one process each.
///
/// The process outlives the agent; it is controlled over QMP, and its end is learnt from the kernel. A guest that resets
/// ends it too: QEMU runs with `-no-reboot`, and ``MachineEvent/reset`` comes before the exit.
public final class QEMUDriver: HypervisorDriver {
    public let name = HypervisorName.qemu

    /// What QEMU may take to answer, on a host that has much else to do.
    static let patience = Duration.seconds(30)

    let supervisor: any ProcessSupervisor
    let logger: Logger
    var group: any EventLoopGroup { MultiThreadedEventLoopGroup.singleton }
    private let probe: QEMUProbe

    public init(configuration: QEMUConfiguration, supervisor: any ProcessSupervisor, logger: Logger) {
        self.supervisor = supervisor
        self.logger = logger
        probe = QEMUProbe(configuration)
    }

    public func information() async throws -> HypervisorInformation { try await probe.information() }

    /// What a driver of this configuration would find, for those who need no driver.
    ///
    /// - Throws: As ``information()``.
    public static func information(_ configuration: QEMUConfiguration) async throws -> HypervisorInformation {
        try await QEMUProbe(configuration).information()
    }

    public func adopt(_ record: MachineRecord, instance: InstanceID) async throws -> (any VirtualMachine)? {
        guard record.hypervisor == name, let process = try await supervisor.adopt(record.process) else { return nil }
        let files = try QEMUFiles(record.runtimeDirectory)
        let sink = QEMUEventSink(hasStarted: true)
        do {
            let control = try await QMPClient.connect(
                to: files.control,
                instance: instance,
                on: group,
                onEvent: { sink.receive($0) }
            )
            do {
                let status = try await control.execute(
                    "query-status",
                    QMPNothing?.none,
                    returning: QEMUStatus.self
                )
                let serial = try await SerialConsole.connect(to: files.console, on: group)
                switch status.status {
                case "paused": sink.send(.paused)
                case "io-error": sink.receive(.outOfSpace)
                default: break
                }
                logger.info("qemu adopted", metadata: ["instance": "\(instance)", "pid": "\(record.process.pid)"])
                return QEMUMachine(
                    record: record,
                    instance: instance,
                    process: process,
                    control: control,
                    serial: serial,
                    files: files,
                    sink: sink,
                    group: group,
                    logger: logger
                )
            } catch {
                control.close()
                throw error
            }
        } catch {
            // Its sockets go a moment before the process does.
            let exit = try? await withDeadline(.seconds(1), "") { try await process.waitForExit() }
            if exit != nil { return nil }
            try Task.checkCancellation()
            throw AgentError(
                .unavailable,
                code: "vmm_not_controllable",
                "QEMU of instance \(instance) runs as process \(record.process.pid) and cannot be controlled",
                cause: error
            )
        }
    }

    /// Kills a process and waits until it is gone.
    func end(_ process: any SupervisedProcess, of instance: InstanceID) async throws {
        process.signal(SIGKILL)
        _ = try await withDeadline(
            .seconds(10),
            "QEMU of instance \(instance), process \(process.identity.pid), does not die"
        ) { try await process.waitForExit() }
    }

    public func reap(instance: InstanceID, runtimeDirectory: RuntimeDirectory) async throws {
        let processes = try await supervisor.find(mark: QEMUArguments.mark(instance))
        for process in processes { process.signal(SIGKILL) }
        for process in processes { try await end(process, of: instance) }
        let files = try QEMUFiles(runtimeDirectory.path)
        try await NIOThreadPool.singleton.runIfActive { SocketPath.remove(files.sockets + [files.log]) }
    }
}

/// The answer to query-status, as far as it is used.
struct QEMUStatus: Decodable, Sendable {
    /// `running`, `paused`, `prelaunch` and others (RunState in QEMU's qapi/run-state.json).
    var status: String
}
