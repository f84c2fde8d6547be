import AgentCore
import Glibc
import GuestProtocol
import Logging
import NIOCore
import NIOPosix
import SystemPackage

/// A running Cloud Hypervisor.
final class CloudHypervisorMachine: VirtualMachine {
    /// How long things are waited for.
    struct Timing: Sendable {
        /// For a start, and what else a VMM does at once on a host that has much else to do.
        var patience = Duration.seconds(30)
        /// For a guest to let go of a device.
        var unplug = Duration.seconds(10)
        /// For a VMM that is still busy with the change before.
        var settle = Duration.seconds(10)
        /// For a memory to be there as a whole that is read while its machine runs already.
        var reading = Duration.seconds(600)
        /// Between two looks.
        var pause = Duration.milliseconds(20)
    }

    let record: MachineRecord
    let events: AsyncStream<MachineEvent>
    let console: AsyncStream<[UInt8]>

    let instance: InstanceID
    let api: CloudHypervisorAPI
    let timing: Timing
    /// Devices are added and removed one after the other: what is there is asked first.
    let changes = FairSemaphore(width: 1)
    let process: any SupervisedProcess
    private let serial: SerialConsole
    private let files: CloudHypervisorFiles
    private let eventFile: EventFile
    private let group: any EventLoopGroup
    private let logger: Logger
    /// Waits for the exit; cancelled when the machine is let go of.
    private let watcher: Task<Void, Never>
    private let channel = GuestChannelOpening()

    init(
        record: MachineRecord,
        instance: InstanceID,
        process: any SupervisedProcess,
        api: CloudHypervisorAPI,
        serial: SerialConsole,
        files: CloudHypervisorFiles,
        sink: CloudHypervisorEventSink,
        eventFile: EventFile,
        timing: Timing,
        group: any EventLoopGroup,
        logger: Logger
    ) {
        self.record = record
        self.instance = instance
        self.process = process
        self.api = api
        self.serial = serial
        self.files = files
        self.eventFile = eventFile
        self.timing = timing
        self.group = group
        self.logger = logger
        events = sink.stream
        console = serial.output
        let watch = ExitWatch(
            instance: instance,
            program: "cloud-hypervisor",
            process: process,
            serial: serial,
            logger: logger
        )
        watcher = watch.begin(
            cleanUp: {
                // What it reported last comes before the exit.
                eventFile.end()
                files.remove()
            },
            report: { sink.finish($0) }
        )
    }

    deinit {
        watcher.cancel()
        api.close()
        serial.close()
        eventFile.leave()
        channel.cancel()
    }

    func openGuestChannel() async throws -> any GuestChannel {
        let (files, session, group, logger) = (files, record.session, group, logger)
        return try await channel.open {
            try await GuestConnection.open(
                socket: files.vsock,
                vsockPort: GuestVsock.port,
                session: session,
                on: group,
                logger: logger
            )
        }
    }

    func pause() async throws { try await change("vm.pause", to: "Paused") }
    func resume() async throws { try await change("vm.resume", to: "Running") }

    func pressPowerButton() async throws {
        try await controlling { try await self.api.put("vm.power-button") }
    }

    func snapshot(to directory: SnapshotDirectory) async throws {
        let info = try await info()
        guard info.state == "Paused" else {
            throw AgentError(
                .invalidState,
                code: "machine_runs",
                "the machine of instance \(instance) is \(info.state) and cannot be saved: pause it first"
            )
        }
        // Not ended with the caller: the VMM cannot be told to stop writing, and other controls wait until it has.
        let writing = Task { [api, process, record, timing] in
            try await process.collect(into: directory.path) { try await Self.write(api, to: $0, timing) }
            try await NIOThreadPool.singleton.runIfActive {
                try CloudHypervisorSnapshot.complete(directory, version: record.version)
            }
        }
        let stopped = OneShot<Void>()
        Task {
            _ = await writing.result
            stopped.fulfil(())
        }
        try await stopped.wait()
        do {
            try await writing.value
        } catch let error as AgentError {
            throw error.kind == .invalidState && error.refusal != nil
                ? await refused(error, directory) : await told(error)
        }
    }

    func kill() async {
        process.signal(SIGKILL)
    }

    func counters() async throws -> MachineCounters {
        let identity = process.identity
        let counters = try await NIOThreadPool.singleton.runIfActive { ProcessCounters.read(identity) }
        guard var counters else { throw exited(nil) }
        // A VMM that writes its memory answers later than anybody wants to wait for numbers.
        counters.disks = try? await withDeadline(.seconds(1), "") { [api] in
            let devices: [String: [String: UInt64]] = try await api.get("vm.counters")
            return DiskCounters(devices)
        }
        return counters
    }

    // MARK: What the rest is made of

    func info() async throws -> VMInfo {
        try await controlling { try await self.api.get("vm.info") }
    }

    /// Runs a request, and tells a machine that has exited from one that cannot be reached.
    func controlling<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as AgentError {
            throw await told(error)
        }
    }

    /// Pauses or resumes; Cloud Hypervisor refuses what is so already.
    private func change(_ action: String, to state: String) async throws {
        try await controlling { [api, timing] in
            do {
                try await api.put(action, deadline: timing.patience)
            } catch let error as AgentError where error.refusal != nil {
                let info: VMInfo = try await api.get("vm.info")
                guard info.state == state else { throw error }
            }
        }
    }

    private static func write(
        _ api: CloudHypervisorAPI,
        to directory: FilePath,
        _ timing: Timing
    ) async throws {
        let config = VMSnapshotConfig(destination: "file://\(directory)")
        let end = ContinuousClock.now + timing.reading
        while true {
            do {
                try await api.put("vm.snapshot", config, deadline: .seconds(3600))
                break
            } catch let error as AgentError where error.refusal?.saysThatItIsRestoring == true {
                guard ContinuousClock.now < end else { throw error }
                // It still reads the memory that it was taken up from, and does so by itself to the end.
                try await Task.sleep(for: timing.pause)
            }
        }
    }

    /// Why the memory was not written; the VMM does not always say that there was no room.
    private func refused(_ error: AgentError, _ directory: SnapshotDirectory) async -> AgentError {
        let isFull =
            await
            (try? NIOThreadPool.singleton.runIfActive {
                var room = statvfs()
                return statvfs(directory.path.string, &room) == 0 && room.f_bavail < 256
            }) ?? false
        guard isFull || error.refusal?.description.contains("No space left on device") == true else {
            return AgentError(
                .unavailable,
                code: "vmm_refused",
                "Cloud Hypervisor cannot save the memory of instance \(instance)",
                cause: error.cause
            )
        }
        return CloudHypervisorSnapshot.failure(.noSpace, directory)
    }

    private func told(_ error: AgentError) async -> AgentError {
        guard error.kind == .unavailable, error.code != "vmm_protocol" else { return error }
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

extension DiskCounters {
    /// From the answer to vm.counters: of each device, what it counts.
    init(_ devices: [String: [String: UInt64]]) {
        func sum(_ name: String) -> UInt64 {
            devices.reduce(0) { $0 &+ (DeviceID.isDisk($1.key) ? $1.value[name] ?? 0 : 0) }
        }
        self.init(
            readBytes: sum("read_bytes"),
            writtenBytes: sum("write_bytes"),
            reads: sum("read_ops"),
            writes: sum("write_ops")
        )
    }
}
