import AgentCore
import CLinux
import Dispatch
import Glibc
import Synchronization
import SystemPackage

/// A process behind a pidfd: the kernel tells of its end, and a signal cannot reach another process.
final class WatchedProcess: SupervisedProcess {
    let identity: ProcessIdentity
    private let isChild: Bool
    private let exit = OneShot<ProcessExit>()
    /// nil once it is closed.
    ///
    /// Signals are sent under the lock, so that none goes to a descriptor that was reused.
    private let descriptor: Mutex<Int32?>

    /// Takes over a pidfd.
    ///
    /// - Parameters:
    ///   - identity: Whose it is.
    ///   - pidfd: Closed after the process has ended.
    ///   - isChild: Whether to reap it. Only who started a process does, so that two watchers don't take the exit status
    ///     from one another.
    ///   - queue: Where its end is noticed; nothing there may block.
    ///   - onExit: Called on that queue, before any waiter hears of the end.
    init(
        identity: ProcessIdentity,
        pidfd: Int32,
        isChild: Bool,
        queue: DispatchQueue,
        onExit: @escaping @Sendable (ProcessIdentity) -> Void
    ) {
        self.identity = identity
        self.isChild = isChild
        descriptor = Mutex(pidfd)
        let source = DispatchSource.makeReadSource(fileDescriptor: pidfd, queue: queue)
        // The source holds itself and this object until the process has ended: a child is reaped even if nobody waits
        // for it.
        source.setEventHandler {
            guard let exit = self.findExit(pidfd) else { return }
            source.cancel()
            onExit(identity)
            self.exit.fulfil(exit)
        }
        source.setCancelHandler {
            self.descriptor.withLock { $0 = nil }
            close(pidfd)
        }
        source.activate()
    }

    /// It has the agent's user, who may open them already.
    func permit(_: [ProcessFile]) async throws {}
    func forbid(_: [ProcessFile]) async throws {}
    func collect(into directory: FilePath, _ body: @Sendable (FilePath) async throws -> Void) async throws {
        try await body(directory)
    }

    func waitForExit() async throws -> ProcessExit { try await exit.wait() }

    func signal(_ number: Int32) {
        // ESRCH is the end of the process, which is not an error here; others cannot happen to a process of our own.
        descriptor.withLock { pidfd in
            guard let pidfd else { return }
            _ = clinux_pidfd_send_signal(pidfd, number)
        }
    }

    /// How it ended; nil if it has not.
    private func findExit(_ pidfd: Int32) -> ProcessExit? {
        guard isChild else { return .unknown }
        var code: Int32 = 0
        var status: Int32 = 0
        switch clinux_pidfd_reap(pidfd, &code, &status) {
        case 0: return nil
        case 1: return code == Int32(CLD_EXITED) ? .code(Int(status)) : .signal(Int(status))
        default: return .unknown
        }
    }
}
