public import AgentCore
import CLinux
import Dispatch
import Glibc
public import Logging
import NIOPosix
import Synchronization
import SystemPackage

/// Runs VMMs as children of the agent that outlive it: for hosts without systemd.
///
/// Each is in a session of its own and has no descriptor of the agent's. When the agent ends, they become children of
/// the host's init, which reaps them; an agent that comes back finds them by their identity and then no longer learns
/// an exit status, which the kernel tells to parents only.
public final class ChildProcessSupervisor: ProcessSupervisor {
    /// One watcher a process, however often it is adopted or found.
    private let watched = Mutex<[ProcessIdentity: WatchedProcess]>([:])
    private let queue = DispatchQueue(label: "hypeman.processes")
    private let outputs: OutputLimit?
    private let logger: Logger

    public init(logger: Logger) {
        self.logger = logger
        outputs = OutputLimit(queue: queue, logger: logger)
    }

    public func start(_ specification: ProcessSpecification) async throws -> any SupervisedProcess {
        try Task.checkCancellation()
        let process = try await blocking { supervisor in
            let pid = try ProcessSpawn.spawn(specification)
            // Nobody else reaps it, so the number stays its own until the watcher sees its end.
            let pidfd = clinux_pidfd_open(pid)
            let error = Errno(rawValue: errno)
            guard pidfd >= 0, let status = ProcessTable.status(of: pid) else {
                kill(pid, SIGKILL)
                var status: Int32 = 0
                waitpid(pid, &status, 0)
                throw AgentError(
                    .unavailable,
                    "process \(pid) of \(specification.executable) cannot be watched",
                    cause: error
                )
            }
            let identity = ProcessIdentity(
                pid: pid,
                startTime: status.startTime,
                bootID: try ProcessTable.bootID()
            )
            return supervisor.watch(identity, pidfd: pidfd, isChild: true)
        }
        logger.debug(
            "process started",
            metadata: ["pid": "\(process.identity.pid)", "executable": "\(specification.executable)"]
        )
        return process
    }

    public func adopt(_ identity: ProcessIdentity) async throws -> (any SupervisedProcess)? {
        try await blocking { try $0.adoptNow(identity) }
    }

    public func find(mark: String) async throws -> [any SupervisedProcess] {
        try await blocking { supervisor in
            let bootID = try ProcessTable.bootID()
            return try ProcessTable.processes(withArgument: mark).compactMap { pid in
                guard let status = ProcessTable.status(of: pid) else { return nil }
                return try supervisor.adoptNow(
                    ProcessIdentity(pid: pid, startTime: status.startTime, bootID: bootID)
                )
            }
        }
    }

    private func adoptNow(_ identity: ProcessIdentity) throws -> WatchedProcess? {
        if let process = watched.withLock({ $0[identity] }) { return process }
        guard identity.pid > 0, identity.bootID == (try ProcessTable.bootID()) else { return nil }
        let pidfd = clinux_pidfd_open(identity.pid)
        guard pidfd >= 0 else {
            let error = Errno(rawValue: errno)
            // EINVAL: the number is that of a thread now.
            if error == .noSuchProcess || error == .invalidArgument { return nil }
            throw AgentError(.unavailable, "process \(identity.pid) cannot be watched", cause: error)
        }
        // Looked at after the pidfd was opened: if the one that has the number now started when ours did, it is ours, and
        // it is the one behind the pidfd.
        guard let status = ProcessTable.status(of: identity.pid), status.startTime == identity.startTime,
            !status.isDead
        else {
            close(pidfd)
            return nil
        }
        return watch(identity, pidfd: pidfd, isChild: false)
    }

    private func watch(_ identity: ProcessIdentity, pidfd: Int32, isChild: Bool) -> WatchedProcess {
        let (process, isNew) = watched.withLock { watched -> (WatchedProcess, Bool) in
            if let process = watched[identity] { return (process, false) }
            let process = WatchedProcess(
                identity: identity,
                pidfd: pidfd,
                isChild: isChild,
                queue: queue,
                onExit: { [weak self] identity in self?.forget(identity) }
            )
            watched[identity] = process
            return (process, true)
        }
        if isNew { outputs?.add(identity.pid) } else { close(pidfd) }
        return process
    }

    private func forget(_ identity: ProcessIdentity) {
        watched.withLock { $0[identity] = nil }
        outputs?.remove(identity.pid)
        logger.debug("process ended", metadata: ["pid": "\(identity.pid)"])
    }

    /// Runs work that waits for the kernel away from the cooperative pool.
    private func blocking<Value: Sendable>(
        _ body: @escaping @Sendable (ChildProcessSupervisor) throws -> Value
    ) async throws -> Value {
        try await NIOThreadPool.singleton.runIfActive { try body(self) }
    }
}
