public import AgentCore
import Glibc
import Logging
import NIOCore
import NIOPosix
import SystemPackage

extension CloudHypervisorDriver {
    /// Bytes a second that the slowest disk is taken to give.
    private static let slowestRead = 20 << 20

    public func start(_ machine: MachineDescription, session: String) async throws -> any VirtualMachine {
        let finding = try await finding()
        return try await launch(
            machine,
            session: session,
            finding.programs[0],
            .boot(sandbox: sandbox(finding)),
            within: timing.patience
        )
    }

    public func restore(
        _ machine: MachineDescription,
        from directory: SnapshotDirectory,
        session: String
    ) async throws -> any VirtualMachine {
        let finding = try await finding()
        let (size, origin) = try await NIOThreadPool.singleton.runIfActive {
            (
                try CloudHypervisorSnapshot.memorySize(directory, of: machine.instance),
                try CloudHypervisorSnapshot.origin(directory, of: machine.instance)
            )
        }
        guard let program = finding.program(for: origin.version) else {
            let known = finding.programs.map(\.version.description).joined(separator: ", ")
            throw AgentError(
                .versionMismatch,
                code: "snapshot_version_mismatch",
                "the memory of instance \(machine.instance) was saved by Cloud Hypervisor \(origin.version), and this host "
                    + "has \(known): add a program of that version to CLOUD_HYPERVISOR"
            )
        }
        return try await launch(
            machine,
            session: session,
            program,
            .restore(directory, lazily: finding.restoresLazily(program), sandbox: sandbox(finding)),
            within: timing.patience + .seconds(1) * (size / Self.slowestRead)
        )
    }

    /// How a machine comes to be.
    enum Origin: Sendable {
        case boot(sandbox: [FilePath]?)
        case restore(SnapshotDirectory, lazily: Bool, sandbox: [FilePath]?)

        /// What it opens besides the machine's own files.
        var files: [ProcessFile] {
            switch self {
            case .boot: []
            case .restore(let directory, _, _): CloudHypervisorSnapshot.files(in: directory)
            }
        }
    }

    /// What the VMM of a machine may use, where that can be limited: the guest's own, and what Cloud Hypervisor needs
    /// beside it.
    ///
    /// Its own documentation knows of some 20 MiB; more is for the tables of a large guest's memory, and for buffers of the
    /// disks. Two processors for its own threads, which mostly rest.
    static func limits(of machine: MachineDescription) -> ProcessLimits {
        let most = machine.largestSize ?? machine.size
        let memory = max(most.memory.bytes, machine.size.memory.bytes)
        return ProcessLimits(
            memory: ByteSize(bytes: memory + memory / 64 + (256 << 20)),
            processors: Double(max(most.vcpus, machine.size.vcpus)) + 2
        )
    }

    /// Starts a process and brings it to where its vCPUs run, or could.
    ///
    /// - Parameters:
    ///   - machine: What it is.
    ///   - session: The guest's session secret.
    ///   - program: Which Cloud Hypervisor.
    ///   - origin: Whether it boots or takes up a memory.
    ///   - patience: How long all of it may take.
    /// - Returns: The machine, running or with its memory taken up.
    /// - Throws: As ``HypervisorDriver/start(_:session:)`` and ``HypervisorDriver/restore(_:from:session:)``.
    private func launch(
        _ machine: MachineDescription,
        session: String,
        _ program: CloudHypervisorFinding.Program,
        _ origin: Origin,
        within patience: Duration
    ) async throws -> any VirtualMachine {
        let files = try CloudHypervisorFiles(machine.runtimeDirectory)
        let specification = ProcessSpecification(
            executable: program.executable,
            arguments: [
                "--api-socket", Self.mark(files), "--event-monitor", "path=\(files.events)", "--seccomp", "true",
            ],
            environment: ["LC_ALL": "C"],
            workingDirectory: "/",
            outputFile: files.log,
            mark: Self.mark(files),
            unit: .machine(machine.instance),
            files: machine.files + origin.files,
            limits: Self.limits(of: machine)
        )
        let process: any SupervisedProcess
        do {
            try await prepare(machine, origin, files)
            process = try await supervisor.start(specification)
        } catch {
            await Task { try? await NIOThreadPool.singleton.runIfActive { files.remove() } }.value
            throw error
        }
        do {
            return try await withDeadline(
                patience,
                "Cloud Hypervisor of instance \(machine.instance) did not start within \(patience)"
            ) {
                try await self.bringUp(machine, session: session, program, origin, process, files)
            }
        } catch {
            let cause = await undo(process, of: machine.instance, files, after: error)
            if error is CancellationError || Task.isCancelled {
                throw AgentError(.cancelled, "the start of instance \(machine.instance) was cancelled")
            }
            throw refusal(machine.instance, origin, error, lastWords: cause)
        }
    }

    /// Lays out in the runtime directory what the process finds there.
    private func prepare(_ machine: MachineDescription, _ origin: Origin, _ files: CloudHypervisorFiles) async throws {
        try await NIOThreadPool.singleton.runIfActive {
            do {
                try EventFiles.make(files.events)
            } catch {
                throw AgentError(.unavailable, "cannot make \(files.events)", cause: error)
            }
            switch origin {
            case .boot:
                guard symlink(machine.kernel.string, files.kernel.string) == 0 else {
                    throw AgentError(.unavailable, "cannot make \(files.kernel)", cause: Errno(rawValue: errno))
                }
            case .restore(let directory, _, let sandbox):
                try CloudHypervisorSnapshot.prepare(directory, for: machine, files, sandbox: sandbox)
            }
        }
    }

    /// Connects to a process that was just started, and has it boot the machine or take it up.
    private func bringUp(
        _ machine: MachineDescription,
        session: String,
        _ program: CloudHypervisorFinding.Program,
        _ origin: Origin,
        _ process: any SupervisedProcess,
        _ files: CloudHypervisorFiles
    ) async throws -> CloudHypervisorMachine {
        let isRestore = if case .restore = origin { true } else { false }
        let sink = CloudHypervisorEventSink(hasRun: !isRestore, isCatchingUp: false) { process.signal(SIGKILL) }
        let api = CloudHypervisorAPI(socket: files.api, instance: machine.instance, on: group)
        do {
            try await connect(machine.instance, process, api)
            let serial: SerialConsole
            switch origin {
            case .boot(let sandbox): serial = try await boot(machine, sandbox, api, files)
            case .restore(_, let lazily, _): serial = try await takeUp(lazily, program, api, files)
            }
            do {
                let followed = try await NIOThreadPool.singleton.runIfActive { [eventFiles = try eventFiles()] in
                    SocketPath.remove([files.kernel])
                    files.removeRestore()
                    return try eventFiles.follow(files.events) { sink.receive($0) }
                }
                // It has them open, and a link of its own would keep the room of a snapshot that is deleted.
                try await process.forbid(origin.files)
                let record = MachineRecord(
                    hypervisor: name,
                    version: program.version.description,
                    accelerator: .kvm,
                    process: process.identity,
                    runtimeDirectory: machine.runtimeDirectory,
                    session: session
                )
                return self.machine(record, machine.instance, process, api, serial, files, sink, followed)
            } catch {
                serial.close()
                throw error
            }
        } catch {
            api.close()
            throw error
        }
    }

    /// In two steps, so that what is wrong with the configuration is told from what goes wrong with the boot, and the
    /// console is listened to from the first byte.
    private func boot(
        _ machine: MachineDescription,
        _ sandbox: [FilePath]?,
        _ api: CloudHypervisorAPI,
        _ files: CloudHypervisorFiles
    ) async throws -> SerialConsole {
        let config = CloudHypervisorConfig(machine: machine, accelerator: .kvm, files: files, sandbox: sandbox)
        try await api.put("vm.create", try config.make(), deadline: timing.patience)
        let serial = try await SerialConsole.connect(to: files.console, on: group)
        do {
            try await api.put("vm.boot", deadline: timing.patience)
            return serial
        } catch {
            serial.close()
            throw error
        }
    }

    private func takeUp(
        _ lazily: Bool,
        _ program: CloudHypervisorFinding.Program,
        _ api: CloudHypervisorAPI,
        _ files: CloudHypervisorFiles
    ) async throws -> SerialConsole {
        let source = "file://\(files.restore)"
        func restore(_ mode: VMRestoreConfig.MemoryMode) async throws {
            let mode = program.version.restoresOnDemand ? mode : nil
            // As long as the whole start may take.
            try await api.put("vm.restore", VMRestoreConfig(source: source, memoryMode: mode), deadline: .seconds(3600))
        }
        do {
            try await restore(lazily ? .onDemand : .copy)
        } catch let error as AgentError {
            // What the kernel allows was asked before, and may be forbidden to this process all the same.
            guard lazily, error.refusal?.words.contains(where: { $0.contains("userfaultfd") }) == true else {
                throw error
            }
            logger.warning("the memory is read at once, since the kernel refuses", metadata: ["error": "\(error)"])
            try await restore(.copy)
        }
        return try await SerialConsole.connect(to: files.console, on: group)
    }

    /// Connects as soon as Cloud Hypervisor listens, or gives up when it exits.
    private func connect(
        _ instance: InstanceID,
        _ process: any SupervisedProcess,
        _ api: CloudHypervisorAPI
    ) async throws {
        let answers = try await withThrowingTaskGroup(of: Bool.self) { tasks in
            tasks.addTask { [timing] in
                // It makes its socket some milliseconds after its start and can tell nobody; bind(2) and listen(2) are two
                // steps, so watching the directory would not be exact either.
                let pause = PollingPause()
                while true {
                    do {
                        let _: VMMPing = try await api.get("vmm.ping", deadline: timing.patience)
                        return true
                    } catch let error as AgentError {
                        guard let cause = error.cause as? IOError, [ENOENT, ECONNREFUSED].contains(cause.errnoCode)
                        else {
                            throw error
                        }
                        try await pause.sleep()
                    }
                }
            }
            tasks.addTask {
                _ = try await process.waitForExit()
                return false
            }
            defer { tasks.cancelAll() }
            return try await tasks.next() ?? false
        }
        guard answers else {
            throw AgentError(.unavailable, "Cloud Hypervisor of instance \(instance) has exited")
        }
    }

    /// Ends what was started, also when the start was cancelled.
    ///
    /// - Returns: What Cloud Hypervisor said, if it had exited by itself.
    private func undo(
        _ process: any SupervisedProcess,
        of instance: InstanceID,
        _ files: CloudHypervisorFiles,
        after error: any Error
    ) async -> String? {
        let logger = logger
        // A task of its own: this must happen though the caller's is cancelled.
        return await Task {
            let own = await process.ownExit(after: error)
            do {
                try await self.end(process, of: instance)
                return try await NIOThreadPool.singleton.runIfActive {
                    let words = files.lastWords()
                    files.remove()
                    SocketPath.remove([files.log])
                    return own == nil ? nil : words ?? "it exited without a word"
                }
            } catch {
                logger.error(
                    "a cloud-hypervisor that did not start cannot be removed",
                    metadata: ["pid": "\(process.identity.pid)", "error": "\(error)"]
                )
                return nil
            }
        }.value
    }

    /// What to tell of a start that failed.
    private func refusal(
        _ instance: InstanceID,
        _ origin: Origin,
        _ error: any Error,
        lastWords: String?
    ) -> any Error {
        let refusal = (error as? AgentError)?.refusal
        guard let words = refusal?.description ?? lastWords else { return error }
        if refusal?.isDiskLock == true {
            return AgentError(
                .busy,
                code: "disk_in_use",
                "a disk of instance \(instance) is in use by another process: \(words)"
            )
        }
        if case .restore = origin { return CloudHypervisorSnapshot.unreadable(instance, words) }
        return AgentError(
            .unavailable,
            code: "vmm_refused",
            "Cloud Hypervisor refuses to start instance \(instance): \(words)"
        )
    }
}
