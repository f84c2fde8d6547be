import AgentCore
import Logging
import NIOCore

/// Waits for the exit of a machine's VMM, and reports it behind all that the VMM said last.
struct ExitWatch: Sendable {
    let instance: InstanceID
    /// The VMM's program, for the log.
    let program: String
    let process: any SupervisedProcess
    let serial: SerialConsole
    let logger: Logger

    /// Begins to wait; cancelling the task ends the watch and leaves the machine alone.
    ///
    /// - Parameters:
    ///   - others: Waits for what is still in the VMM's other connections.
    ///   - cleanUp: Removes what a VMM that was killed leaves; what it cannot remove goes with the directory, by its owner.
    ///     That is on a tmpfs, so it takes no thread of those who wait for disks: these must not delay the report.
    ///   - report: Given the exit, nil if nobody wants to know any more.
    /// - Returns: The wait.
    func begin(
        others: @escaping @Sendable () async -> Void = {},
        cleanUp: @escaping @Sendable () -> Void,
        report: @escaping @Sendable (ProcessExit?) -> Void
    ) -> Task<Void, Never> {
        Task {
            // It throws only if this task is cancelled.
            guard let exit = try? await process.waitForExit() else { return report(nil) }
            await others()
            await serial.drain(within: .seconds(1))
            cleanUp()
            logger.info("\(program) exited", metadata: ["instance": "\(instance)", "exit": "\(exit)"])
            report(exit)
        }
    }
}
