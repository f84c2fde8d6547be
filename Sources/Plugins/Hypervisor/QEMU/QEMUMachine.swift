import AgentCore
import Glibc
import Logging
import NIOCore
import NIOPosix
import SystemPackage

/// A running QEMU.
final class QEMUMachine: VirtualMachine {
    let record: MachineRecord
    let events: AsyncStream<MachineEvent>
    let console: AsyncStream<[UInt8]>

    private let instance: InstanceID
    private let process: any SupervisedProcess
    private let control: QMPClient
    private let serial: SerialConsole
    private let files: QEMUFiles
    private let sink: QEMUEventSink
    private let changes = FairSemaphore(width: 1)
    private let group: any EventLoopGroup
    private let logger: Logger
    /// Waits for the exit; cancelled when the machine is let go of.
    private let watcher: Task<Void, Never>
    private let channel = GuestChannelOpening()

    init(
        record: MachineRecord,
        instance: InstanceID,
        process: any SupervisedProcess,
        control: QMPClient,
        serial: SerialConsole,
        files: QEMUFiles,
        sink: QEMUEventSink,
        group: any EventLoopGroup,
        logger: Logger
    ) {
        self.record = record
        self.instance = instance
        self.process = process
        self.control = control
        self.serial = serial
        self.files = files
        self.sink = sink
        self.group = group
        self.logger = logger
        events = sink.stream
        console = serial.output
        let watch = ExitWatch(
            instance: instance,
            program: "qemu",
            process: process,
            serial: serial,
            logger: logger
        )
        watcher = watch.begin(
            others: { await control.drain(within: .seconds(1)) },
            cleanUp: { SocketPath.remove(files.sockets) },
            report: { sink.finish($0) }
        )
    }

    deinit {
        watcher.cancel()
        control.close()
        serial.close()
        channel.cancel()
    }

    func openGuestChannel() async throws -> any GuestChannel {
        let (files, session, group, logger) = (files, record.session, group, logger)
        return try await channel.open {
            try await GuestConnection.open(socket: files.channel, session: session, on: group, logger: logger)
        }
    }

    func pause() async throws { try await control("stop") }
    func resume() async throws { try await control("cont") }
    func pressPowerButton() async throws { try await control("system_powerdown") }

    func snapshot(to directory: SnapshotDirectory) async throws {
        let status: QEMUStatus
        do {
            status = try await control.execute("query-status", QMPNothing?.none, returning: QEMUStatus.self)
        } catch let error as AgentError {
            throw await told(error)
        }
        // Those in which nothing changes any more; postmigrate is that of a machine that was saved before.
        guard ["paused", "postmigrate"].contains(status.status) else {
            throw AgentError(
                .invalidState,
                code: "machine_runs",
                "the machine of instance \(instance) is \(status.status) and cannot be saved: pause it first"
            )
        }
        do {
            try await QEMUMigration(control: control, instance: instance).save(to: directory)
        } catch let error as AgentError {
            throw await told(error)
        }
    }

    func resize(to size: MachineSize) async throws {
        try await change { removal in
            let resize = QEMUResize(
                control: control,
                instance: instance,
                removal: removal,
                accelerator: record.accelerator
            )
            try await resize.resize(to: size)
        }
    }

    func attach(_ disk: MachineDescription.Disk) async throws { try await plug { try await $0.attach(disk) } }
    func detach(_ disk: MachineDescription.Disk) async throws { try await plug { try await $0.detach(disk) } }
    func attach(_ card: MachineDescription.Card) async throws { try await plug { try await $0.attach(card) } }
    func detachCard() async throws { try await plug { try await $0.detachCard() } }

    private func plug(_ body: (QEMUPlug) async throws -> Void) async throws {
        try await change { removal in
            try await body(QEMUPlug(control: control, instance: instance, process: process, removal: removal))
        }
    }

    /// One at a time: each looks at what there is before it does something about it.
    private func change(_ body: (QEMURemoval) async throws -> Void) async throws {
        let removal = QEMURemoval(control: control, instance: instance, sink: sink)
        do {
            try await changes.withTurn { try await body(removal) }
        } catch let error as AgentError {
            throw await told(error)
        }
    }

    func kill() async {
        process.signal(SIGKILL)
    }

    func counters() async throws -> MachineCounters {
        let identity = process.identity
        let counters = try await NIOThreadPool.singleton.runIfActive { ProcessCounters.read(identity) }
        guard var counters else { throw exited(nil) }
        do {
            counters.disks = try await QEMUBlockCounters.read(control)
            counters.size = try await QEMUResize.Bounds(control)?.current
        } catch let error as AgentError {
            throw await told(error)
        }
        return counters
    }

    private func control(_ command: String) async throws {
        do {
            try await control.execute(command)
        } catch let error as AgentError {
            throw await told(error)
        }
    }

    /// Tells a machine that has exited from one that cannot be reached.
    private func told(_ error: AgentError) async -> AgentError {
        guard error.kind == .unavailable else { return error }
        // The connection goes a moment before the process does.
        let process = process
        let exit = try? await withDeadline(Deadlines.end, "", { try await process.waitForExit() })
        return exit == nil ? error : exited(error)
    }

    private func exited(_ cause: AgentError?) -> AgentError {
        AgentError(
            .invalidState,
            code: "machine_exited",
            "the machine of instance \(instance) has exited",
            cause: cause
        )
    }
}
