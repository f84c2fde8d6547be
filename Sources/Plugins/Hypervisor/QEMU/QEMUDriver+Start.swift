public import AgentCore
import Glibc
import Logging
import NIOCore
import NIOPosix
import SystemPackage

extension QEMUDriver {
    /// Bytes a second that the slowest disk is taken to give.
    private static let slowestRead = 20 << 20

    public func start(_ machine: MachineDescription, session: String) async throws -> any VirtualMachine {
        try await launch(machine, session: session, from: nil, within: Self.patience)
    }

    public func restore(
        _ machine: MachineDescription,
        from directory: SnapshotDirectory,
        session: String
    ) async throws -> any VirtualMachine {
        let path = directory.path.appending(QEMUMigration.fileName)
        let size = try await NIOThreadPool.singleton.runIfActive {
            var status = stat()
            guard lstat(path.string, &status) == 0 else {
                throw QEMUMigration.unreadable(machine.instance, "there is no \(path)")
            }
            return Int(status.st_size)
        }
        let patience = Self.patience + .seconds(1) * (size / Self.slowestRead)
        return try await launch(machine, session: session, from: directory, within: patience)
    }

    /// Starts a process and brings it to where its vCPUs run, or could.
    ///
    /// - Parameters:
    ///   - machine: What it is.
    ///   - session: The guest's session secret.
    ///   - directory: A memory to take up; nil boots.
    ///   - patience: How long all of it may take.
    /// - Returns: The machine, running or with its memory taken up.
    /// - Throws: As ``HypervisorDriver/start(_:session:)`` and ``HypervisorDriver/restore(_:from:session:)``.
    private func launch(
        _ machine: MachineDescription,
        session: String,
        from directory: SnapshotDirectory?,
        within patience: Duration
    ) async throws -> any VirtualMachine {
        let information = try await information()
        let files = try QEMUFiles(machine.runtimeDirectory)
        let arguments = QEMUArguments(
            machine: machine,
            accelerator: information.accelerator,
            files: files,
            vhost: QEMUPlug.hasVhost,
            incoming: directory != nil
        )
        let specification = ProcessSpecification(
            executable: information.executable,
            arguments: try arguments.make(),
            environment: ["LC_ALL": "C"],
            workingDirectory: "/",
            outputFile: files.log,
            mark: QEMUArguments.mark(machine.instance),
            unit: .machine(machine.instance),
            files: machine.files,
            limits: Self.limits(of: machine, under: information.accelerator)
        )

        let process = try await supervisor.start(specification)
        do {
            return try await withDeadline(
                patience,
                "QEMU of instance \(machine.instance) did not start within \(patience)"
            ) {
                try await self.bringUp(machine, session: session, from: directory, information, process, files)
            }
        } catch {
            let cause = await undo(process, of: machine.instance, files, after: error)
            if error is CancellationError || Task.isCancelled {
                throw AgentError(.cancelled, "the start of instance \(machine.instance) was cancelled")
            }
            guard let cause else { throw error }
            let isLoading = directory != nil && cause.contains("load of migration failed")
            throw isLoading ? QEMUMigration.unreadable(machine.instance, cause) : refusal(machine.instance, cause)
        }
    }

    /// What the VMM of a machine may use, where that can be limited: the guest's own, and what QEMU needs beside it.
    ///
    /// QEMU itself took 60 to 90 MiB; more is for its buffers while a disk is busy. Under TCG translated code comes to it,
    /// of which QEMU keeps up to 1 GiB (accel/tcg/region.c). Two processors for its own threads, which mostly rest.
    static func limits(of machine: MachineDescription, under accelerator: Accelerator) -> ProcessLimits {
        let most = machine.largestSize ?? machine.size
        let beside = accelerator == .tcg ? ByteSize.mebibytes(1280) : .mebibytes(256)
        return ProcessLimits(
            memory: ByteSize(bytes: max(most.memory.bytes, machine.size.memory.bytes) + beside.bytes),
            processors: Double(max(most.vcpus, machine.size.vcpus)) + 2
        )
    }

    /// Connects to a process that was just started, and lets its vCPUs run or has it take up a memory.
    private func bringUp(
        _ machine: MachineDescription,
        session: String,
        from directory: SnapshotDirectory?,
        _ information: HypervisorInformation,
        _ process: any SupervisedProcess,
        _ files: QEMUFiles
    ) async throws -> QEMUMachine {
        let sink = QEMUEventSink(hasStarted: false)
        let control = try await connect(machine.instance, process, files, sink)
        do {
            let serial = try await SerialConsole.connect(to: files.console, on: group)
            do {
                if let directory {
                    try await QEMUMigration(control: control, instance: machine.instance).load(from: directory)
                } else {
                    try await control.execute("cont", deadline: Self.patience)
                }
            } catch {
                serial.close()
                throw error
            }
            let record = MachineRecord(
                hypervisor: name,
                version: control.version,
                accelerator: information.accelerator,
                process: process.identity,
                runtimeDirectory: machine.runtimeDirectory,
                session: session
            )
            return QEMUMachine(
                record: record,
                instance: machine.instance,
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
    }

    /// Connects as soon as QEMU listens, or gives up when it exits.
    private func connect(
        _ instance: InstanceID,
        _ process: any SupervisedProcess,
        _ files: QEMUFiles,
        _ sink: QEMUEventSink
    ) async throws -> QMPClient {
        try await withThrowingTaskGroup(of: QMPClient?.self) { tasks in
            tasks.addTask { [group] in
                // QEMU makes its sockets some 20 ms after its start and can tell nobody; bind(2) and listen(2) are two
                // steps, so watching the directory would not be exact either.
                let pause = PollingPause()
                while true {
                    do {
                        return try await QMPClient.connect(
                            to: files.control,
                            instance: instance,
                            on: group,
                            deadline: Self.patience,
                            onEvent: { sink.receive($0) }
                        )
                    } catch let error as IOError where error.errnoCode == ENOENT || error.errnoCode == ECONNREFUSED {
                        try await pause.sleep()
                    }
                }
            }
            tasks.addTask {
                _ = try await process.waitForExit()
                return nil
            }
            defer { tasks.cancelAll() }
            guard let first = try await tasks.next(), let client = first else {
                throw AgentError(.unavailable, "QEMU of instance \(instance) has exited")
            }
            return client
        }
    }

    /// Ends what was started, also when the start was cancelled.
    ///
    /// - Returns: What QEMU said, if it had exited by itself.
    private func undo(
        _ process: any SupervisedProcess,
        of instance: InstanceID,
        _ files: QEMUFiles,
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
                    SocketPath.remove(files.sockets + [files.log])
                    return own.map { words ?? "it ended without a word (\($0.words))" }
                }
            } catch {
                logger.error(
                    "a qemu that did not start cannot be removed",
                    metadata: ["pid": "\(process.identity.pid)", "error": "\(error)"]
                )
                return nil
            }
        }.value
    }

    private func refusal(_ instance: InstanceID, _ words: String) -> AgentError {
        if QEMUPlug.saysInUse(words) {
            return AgentError(
                .busy,
                code: "disk_in_use",
                "a disk of instance \(instance) is in use by another process: \(words)"
            )
        }
        return AgentError(
            .unavailable,
            code: "vmm_refused",
            "QEMU refuses to start instance \(instance): \(words)"
        )
    }
}
