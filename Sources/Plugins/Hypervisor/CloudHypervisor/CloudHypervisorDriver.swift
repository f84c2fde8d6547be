public import AgentCore
import Glibc
public import Logging
import NIOCore
import NIOPosix
import Synchronization
import SystemPackage

/// Runs machines in Cloud Hypervisor, one process each.
///
/// The process outlives the agent; it is controlled over its REST interface, and its end is learnt from the kernel. A
/// guest that resets ends it too, as with QEMU: ``MachineEvent/reset`` comes before the exit.
public final class CloudHypervisorDriver: HypervisorDriver {
    public let name = HypervisorName.cloudHypervisor

    let configuration: CloudHypervisorConfiguration
    let supervisor: any ProcessSupervisor
    let logger: Logger
    let timing: CloudHypervisorMachine.Timing
    var group: any EventLoopGroup { MultiThreadedEventLoopGroup.singleton }
    private let probe: CloudHypervisorProbe
    private let files = Mutex<EventFiles?>(nil)

    public convenience init(
        configuration: CloudHypervisorConfiguration,
        supervisor: any ProcessSupervisor,
        logger: Logger
    ) {
        self.init(
            configuration: configuration,
            supervisor: supervisor,
            logger: logger,
            probe: CloudHypervisorProbe(configuration)
        )
    }

    init(
        configuration: CloudHypervisorConfiguration,
        supervisor: any ProcessSupervisor,
        logger: Logger,
        probe: CloudHypervisorProbe,
        timing: CloudHypervisorMachine.Timing = .init()
    ) {
        self.configuration = configuration
        self.supervisor = supervisor
        self.logger = logger
        self.probe = probe
        self.timing = timing
    }

    public func information() async throws -> HypervisorInformation {
        Self.information(try await finding())
    }

    /// What a driver of this configuration would find, for those who need no driver.
    ///
    /// - Throws: As ``information()``.
    public static func information(
        _ configuration: CloudHypervisorConfiguration
    ) async throws -> HypervisorInformation {
        information(try await CloudHypervisorProbe(configuration).find())
    }

    func finding() async throws -> CloudHypervisorFinding { try await probe.find() }

    private static func information(_ finding: CloudHypervisorFinding) -> HypervisorInformation {
        // The probe throws if there is none.
        let first = finding.programs[0]
        var information = HypervisorInformation(
            name: .cloudHypervisor,
            version: first.version.description,
            executable: first.executable,
            accelerator: .kvm,
            acceleratorReason: nil,
            capabilities: HypervisorCapabilities(
                pause: true,
                snapshot: true,
                hotplug: true,
                resize: true,
                lazyRestore: finding.restoresLazily(first)
            )
        )
        information.otherVersions = finding.programs.dropFirst().map(\.version.description)
        return information
    }

    /// The one that follows events, made when it is first needed.
    func eventFiles() throws -> EventFiles {
        try files.withLock { files in
            if let files { return files }
            do {
                let made = try EventFiles()
                files = made
                return made
            } catch {
                throw AgentError(.unavailable, "the events of VMMs cannot be followed", cause: error)
            }
        }
    }

    /// Where machines of this driver may write besides their own directory; nil if the kernel has no Landlock.
    func sandbox(_ finding: CloudHypervisorFinding) -> [FilePath]? {
        finding.hasLandlock ? configuration.writableDirectories : nil
    }

    public func adopt(_ record: MachineRecord, instance: InstanceID) async throws -> (any VirtualMachine)? {
        guard record.hypervisor == name, let process = try await supervisor.adopt(record.process) else { return nil }
        let files = try CloudHypervisorFiles(record.runtimeDirectory)
        let api = CloudHypervisorAPI(socket: files.api, instance: instance, on: group)
        let sink = CloudHypervisorEventSink(hasRun: true, isCatchingUp: true) { process.signal(SIGKILL) }
        do {
            let followed = try await NIOThreadPool.singleton.runIfActive { [eventFiles = try eventFiles()] in
                try eventFiles.follow(files.events) { sink.receive($0) }
            }
            do {
                sink.catchUp()
                let info: VMInfo = try await api.get("vm.info", deadline: timing.patience)
                let serial = try await SerialConsole.connect(to: files.console, on: group)
                if info.state == "Paused" { sink.send(.paused) }
                logger.info(
                    "cloud-hypervisor adopted",
                    metadata: ["instance": "\(instance)", "pid": "\(record.process.pid)"]
                )
                return machine(record, instance, process, api, serial, files, sink, followed)
            } catch {
                followed.leave()
                throw error
            }
        } catch {
            api.close()
            // Its sockets go a moment before the process does.
            let exit = try? await withDeadline(.seconds(1), "") { try await process.waitForExit() }
            if exit != nil { return nil }
            try Task.checkCancellation()
            throw AgentError(
                .unavailable,
                code: "vmm_not_controllable",
                "Cloud Hypervisor of instance \(instance) runs as process \(record.process.pid) and cannot be controlled",
                cause: error
            )
        }
    }

    func machine(
        _ record: MachineRecord,
        _ instance: InstanceID,
        _ process: any SupervisedProcess,
        _ api: CloudHypervisorAPI,
        _ serial: SerialConsole,
        _ files: CloudHypervisorFiles,
        _ sink: CloudHypervisorEventSink,
        _ followed: EventFile
    ) -> CloudHypervisorMachine {
        CloudHypervisorMachine(
            record: record,
            instance: instance,
            process: process,
            api: api,
            serial: serial,
            files: files,
            sink: sink,
            eventFile: followed,
            timing: timing,
            group: group,
            logger: logger
        )
    }

    /// Kills a process and waits until it is gone.
    func end(_ process: any SupervisedProcess, of instance: InstanceID) async throws {
        process.signal(SIGKILL)
        _ = try await withDeadline(
            .seconds(10),
            "Cloud Hypervisor of instance \(instance), process \(process.identity.pid), does not die"
        ) { try await process.waitForExit() }
    }

    public func reap(instance: InstanceID, runtimeDirectory: RuntimeDirectory) async throws {
        let files = try CloudHypervisorFiles(runtimeDirectory.path)
        let processes = try await supervisor.find(mark: Self.mark(files))
        for process in processes { process.signal(SIGKILL) }
        for process in processes { try await end(process, of: instance) }
        try await NIOThreadPool.singleton.runIfActive {
            files.remove()
            SocketPath.remove([files.log])
        }
    }

    /// What marks the process: it takes no name, and its API socket is its own.
    static func mark(_ files: CloudHypervisorFiles) -> String { "path=\(files.api)" }
}
