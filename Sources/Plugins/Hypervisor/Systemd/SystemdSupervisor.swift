public import AgentCore
import CLinux
import DBus
import Dispatch
import Foundation
import Glibc
public import Logging
import NIOPosix
import Synchronization
import SystemPackage

/// Runs VMMs and dnsmasq as instances of the packaged units: they outlive the agent, each has a user, a control group and
/// limits of its own, and systemd keeps how it ended.
///
/// The agent's user has no right to anything else of systemd's; see docs/decisions/0021-vms-are-systemd-units.md. Processes
/// that an agent without units has left are found as their children's supervisor finds them.
public final class SystemdSupervisor: ProcessSupervisor {
    /// The units of VMs and of name services.
    private static let patterns = ["hypeman-vm@*.service", "hypeman-dnsmasq@*.service"]

    private let dataDirectory: FilePath
    private let manager: SystemdManager
    private let connection: Connection
    private let children: ChildProcessSupervisor
    /// One watcher a process, however often it is adopted or found.
    private let watched = Mutex<[ProcessIdentity: SystemdProcess]>([:])
    private let queue = DispatchQueue(label: "hypeman.units")
    private let outputs: OutputLimit?
    private let logger: Logger

    /// Prepares to start units; the bus is connected to when it is needed.
    ///
    /// - Parameters:
    ///   - configuration: Where the agent's data is.
    ///   - logger: Everyone's.
    /// - Throws: ``AgentError`` `unavailable` that says what is missing.
    public init(configuration: ProcessesConfiguration, logger: Logger) throws {
        let dataDirectory = configuration.dataDirectory
        if let reason = SupervisorKind.obstacle() {
            throw AgentError(
                .unavailable,
                code: "systemd_unavailable",
                "VMs cannot be units of systemd: \(reason); SUPERVISOR=child runs them beside the agent"
            )
        }
        guard dataDirectory == SupervisorKind.dataDirectory else {
            throw AgentError(
                .invalidArgument,
                code: "unsupported_data_directory",
                "VMs are units of systemd, whose disks are in \(SupervisorKind.dataDirectory): mount another disk there, or "
                    + "set SUPERVISOR=child for DATA_DIR=\(dataDirectory)"
            )
        }
        self.dataDirectory = dataDirectory
        self.logger = logger
        let bus = BusAddress.system(environment: ProcessInfo.processInfo.environment)
        connection = Connection(address: bus, logger: logger)
        manager = try SystemdManager(connection: connection)
        children = ChildProcessSupervisor(logger: logger)
        outputs = OutputLimit(queue: queue, logger: logger)
    }

    /// Leaves the bus; units run on.
    public func close() async { await connection.close() }

    /// Takes back what was handed to VMs that have ended while no agent was there.
    ///
    /// - Throws: ``AgentError`` `unavailable` if systemd does not answer.
    public func removeLeftovers() async throws {
        let running = Set(try await translating { try await self.manager.units(Self.patterns) })
        for instance in try await UnitFiles.instances(in: dataDirectory)
        where !running.contains(ProcessUnit.machine(instance).name) {
            try await UnitFiles(dataDirectory: dataDirectory, instance: instance).removeAll()
        }
    }

    public func start(_ specification: ProcessSpecification) async throws -> any SupervisedProcess {
        guard let unit = specification.unit else { return try await children.start(specification) }
        try Task.checkCancellation()
        guard access(specification.executable.string, X_OK) == 0 else {
            throw AgentError(
                .unavailable,
                code: "spawn_failed",
                "\(specification.executable) cannot be started",
                cause: Errno(rawValue: errno)
            )
        }
        let files = self.files(of: unit)
        try await files.prepare(specification)
        do {
            try await manager.limit(unit.name, specification.limits)
            try await manager.start(unit.name)
            let process = try await watch(unit, output: specification.outputFile)
            logger.debug("unit started", metadata: ["unit": "\(unit.name)", "pid": "\(process.identity.pid)"])
            return process
        } catch let error as DBusError {
            try await files.removeAll()
            throw AgentError(.unavailable, code: "unit_failed", "systemd does not start \(unit.name)", cause: error)
        } catch {
            // Nothing may run of which nobody knows; what can still be done for that is not cancelled with the caller.
            try await Task {
                try? await manager.kill(unit.name, signal: SIGKILL)
                await manager.release(unit.name)
                try await files.removeAll()
            }.value
            throw error
        }
    }

    public func adopt(_ identity: ProcessIdentity) async throws -> (any SupervisedProcess)? {
        guard let name = identity.unit, let unit = Self.unit(named: name) else {
            return try await children.adopt(identity)
        }
        if let process = watched.withLock({ $0[identity] }) { return process }
        guard identity.bootID == (try await bootID()) else { return nil }
        let state = try await translating { try await self.manager.state(of: name) }
        guard let state, state.invocation == identity.invocation, state.mainProcess == identity.pid, identity.pid > 0
        else { return nil }
        let found = try await identityOfMainProcess(unit, state)
        guard let found, found.identity == identity else { return nil }
        try await translating { try await self.manager.hold(name) }
        return watch(found, unit, output: nil)
    }

    public func find(mark: String) async throws -> [any SupervisedProcess] {
        var found: [any SupervisedProcess] = []
        for name in try await translating({ try await self.manager.units(Self.patterns) }) {
            guard let unit = Self.unit(named: name),
                let state = try await translating({ try await self.manager.state(of: name) }), state.mainProcess > 0
            else { continue }
            let isMarked = try await NIOThreadPool.singleton.runIfActive {
                ProcessTable.hasArgument(mark, process: state.mainProcess)
            }
            guard isMarked, let process = try await identityOfMainProcess(unit, state) else { continue }
            try await translating { try await self.manager.hold(name) }
            found.append(watch(process, unit, output: nil))
        }
        return found + (try await children.find(mark: mark))
    }

    // MARK: Watching

    private typealias Found = (identity: ProcessIdentity, pidfd: Int32?)

    /// Watches what a unit that was just started runs; it may have ended already.
    private func watch(_ unit: ProcessUnit, output: FilePath) async throws -> SystemdProcess {
        guard let state = try await manager.state(of: unit.name) else {
            throw AgentError(.unavailable, "systemd has forgotten \(unit.name), which it just started")
        }
        if let found = try await identityOfMainProcess(unit, state) { return watch(found, unit, output: output) }
        let identity = ProcessIdentity(
            pid: state.lastProcess,
            startTime: 0,
            bootID: try await bootID(),
            unit: unit.name,
            invocation: state.invocation
        )
        return watch((identity, nil), unit, output: output)
    }

    /// The main process of a unit, held by a pidfd; nil if it has ended.
    private func identityOfMainProcess(_ unit: ProcessUnit, _ state: UnitState) async throws -> Found? {
        let pid = state.mainProcess
        guard pid > 0 else { return nil }
        return try await NIOThreadPool.singleton.runIfActive {
            let pidfd = clinux_pidfd_open(pid)
            guard pidfd >= 0 else { return nil }
            // Looked at after the pidfd was opened; that it is the unit's, systemd said before.
            guard let status = ProcessTable.status(of: pid), !status.isDead else {
                Glibc.close(pidfd)
                return nil
            }
            let identity = ProcessIdentity(
                pid: pid,
                startTime: status.startTime,
                bootID: try ProcessTable.bootID(),
                unit: unit.name,
                invocation: state.invocation
            )
            return (identity, pidfd)
        }
    }

    private func watch(_ found: Found, _ unit: ProcessUnit, output: FilePath?) -> SystemdProcess {
        let (process, isNew) = watched.withLock { watched -> (SystemdProcess, Bool) in
            if let process = watched[found.identity] { return (process, false) }
            let process = SystemdProcess(
                identity: found.identity,
                unit: unit.name,
                pidfd: found.pidfd,
                manager: manager,
                files: files(of: unit),
                queue: queue,
                logger: logger,
                onExit: { [weak self] identity in await self?.forget(identity, unit) }
            )
            watched[found.identity] = process
            return (process, true)
        }
        if isNew {
            outputs?.add(found.identity.pid, file: output ?? Self.output(of: unit))
        } else if let pidfd = found.pidfd {
            Glibc.close(pidfd)
        }
        return process
    }

    private func forget(_ identity: ProcessIdentity, _ unit: ProcessUnit) async {
        watched.withLock { $0[identity] = nil }
        outputs?.remove(identity.pid)
        await manager.release(unit.name)
        do {
            try await files(of: unit).removeAll()
        } catch {
            logger.warning(
                "files of a VM that has ended remain",
                metadata: ["unit": "\(unit.name)", "error": "\(error)"]
            )
        }
        logger.debug("unit ended", metadata: ["unit": "\(unit.name)", "pid": "\(identity.pid)"])
    }

    // MARK: Names

    private func files(of unit: ProcessUnit) -> UnitFiles {
        switch unit {
        case .machine(let instance): UnitFiles(dataDirectory: dataDirectory, instance: instance)
        case .nameService: UnitFiles(dataDirectory: dataDirectory, instance: nil)
        }
    }

    /// Where the output of a unit goes that an earlier agent started: the units name these directories.
    private static func output(of unit: ProcessUnit) -> FilePath {
        switch unit {
        case .machine(let instance): FilePath("/run/hypeman/vms/\(instance.rawValue)/vmm.log")
        case .nameService: "/run/hypeman/network/dnsmasq.log"
        }
    }

    /// One of the packaged units; nil for another's name.
    static func unit(named name: String) -> ProcessUnit? {
        guard name.hasSuffix(".service"), let at = name.firstIndex(of: "@") else { return nil }
        let instance = String(name[name.index(after: at)...].dropLast(".service".count))
        switch name[..<at] {
        case "hypeman-vm": return InstanceID(rawValue: instance).map { .machine($0) }
        case "hypeman-dnsmasq": return instance.isEmpty ? nil : .nameService(bridge: instance)
        default: return nil
        }
    }

    private func bootID() async throws -> String {
        try await NIOThreadPool.singleton.runIfActive { try ProcessTable.bootID() }
    }

    private func translating<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as DBusError {
            throw AgentError(.unavailable, code: "unit_failed", "systemd cannot be asked about VMs", cause: error)
        }
    }
}
