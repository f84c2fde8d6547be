import AgentCore
import CLinux
import Dispatch
import Glibc
import Logging
import SystemPackage

/// The main process of a unit: the kernel tells of its end, and systemd how it ended.
final class SystemdProcess: SupervisedProcess {
    let identity: ProcessIdentity
    private let unit: String
    private let manager: SystemdManager
    private let files: UnitFiles
    private let exit = OneShot<ProcessExit>()
    private let logger: Logger

    /// How long systemd may take to notice what the kernel has told already, and to end the unit.
    private static let patience = Duration.seconds(10)

    /// Watches a process.
    ///
    /// - Parameters:
    ///   - identity: With its unit.
    ///   - unit: By its name.
    ///   - pidfd: Closed after the process has ended; nil if it has.
    ///   - manager: Is told of signals, and asked how it ended.
    ///   - files: What it was given.
    ///   - queue: Where its end is noticed.
    ///   - logger: Is told of signals that systemd did not send.
    ///   - onExit: Called before any waiter hears of the end.
    init(
        identity: ProcessIdentity,
        unit: String,
        pidfd: Int32?,
        manager: SystemdManager,
        files: UnitFiles,
        queue: DispatchQueue,
        logger: Logger,
        onExit: @escaping @Sendable (ProcessIdentity) async -> Void
    ) {
        self.identity = identity
        self.unit = unit
        self.manager = manager
        self.files = files
        self.logger = logger
        let end: @Sendable () -> Void = {
            // Holds this object until its end is known, even if nobody waits for it.
            Task {
                let exit = await self.findExit()
                await onExit(identity)
                self.exit.fulfil(exit)
            }
        }
        guard let pidfd else {
            end()
            return
        }
        let source = DispatchSource.makeReadSource(fileDescriptor: pidfd, queue: queue)
        source.setEventHandler {
            source.cancel()
            end()
        }
        source.setCancelHandler { close(pidfd) }
        source.activate()
    }

    func waitForExit() async throws -> ProcessExit { try await exit.wait() }

    func signal(_ number: Int32) {
        // Its unit may be another start's by then, which nobody makes before this one's end is known.
        guard exit.value == nil else { return }
        Task {
            do {
                guard try await isOurs() else { return }
                try await manager.kill(unit, signal: number)
            } catch {
                guard exit.value == nil else { return }
                logger.warning(
                    "a signal was not sent",
                    metadata: ["unit": "\(unit)", "signal": "\(number)", "error": "\(error)"]
                )
            }
        }
    }

    func permit(_ files: [ProcessFile]) async throws { try await self.files.permit(files) }
    func forbid(_ files: [ProcessFile]) async throws { try await self.files.forbid(files) }
    func collect(into directory: FilePath, _ body: @Sendable (FilePath) async throws -> Void) async throws {
        try await files.collect(into: directory, body)
    }

    private func isOurs() async throws -> Bool {
        let state = try await manager.state(of: unit)
        return state?.invocation == identity.invocation && state?.mainProcess == identity.pid
    }

    /// What systemd says of the end, once nothing of the unit is left: whether memory was wanting it knows for sure by then,
    /// and what it runs after the end needs the files that the process was given.
    private func findExit() async -> ProcessExit {
        do {
            return try await withDeadline(Self.patience, "systemd's word of the end of \(unit)") {
                var pause = Duration.milliseconds(2)
                while true {
                    let state = try await self.manager.state(of: self.unit)
                    guard let state, state.invocation == self.identity.invocation else { return .unknown }
                    if let exit = state.exit, state.isOver { return exit }
                    try await Task.sleep(for: pause)
                    pause = min(pause * 2, .milliseconds(20))
                }
            }
        } catch {
            let state = try? await manager.state(of: unit)
            let exit = state?.invocation == identity.invocation ? state?.exit : nil
            logger.warning(
                "a unit that has ended does not come to its end",
                metadata: ["unit": "\(unit)", "exit": "\(exit ?? .unknown)", "error": "\(error)"]
            )
            return exit ?? .unknown
        }
    }
}
