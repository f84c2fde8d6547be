import AgentCore
import Logging
import ServiceLifecycle

/// Tells systemd that the agent lives as long as it really answers: a look that goes through its services, from time to
/// time.
///
/// When one fails or does not end, nothing is said, and systemd ends the agent and starts it anew.
struct Watchdog: Service {
    /// What must work, and what is said of the agent if it does.
    let probe: @Sendable () async throws -> String
    let notifier: ServiceNotifier
    /// How long systemd bears silence; nil if it doesn't watch, and then nothing is looked at.
    let interval: Duration?
    let clock: any Clock<Duration>
    let logger: Logger

    func run() async throws {
        guard let interval else { return try await gracefulShutdown() }
        // Half of it, as sd_watchdog_enabled(3) advises: a look may take as long again.
        let pause = interval / 2
        do {
            try await cancelWhenGracefulShutdown {
                while true {
                    try await look(within: pause)
                    try await clock.sleep(for: pause)
                }
            }
        } catch is CancellationError {
            // The agent ends, which is no failure of its watchdog's.
        }
    }

    private func look(within limit: Duration) async throws {
        do {
            let status = try await withDeadline(limit, clock: clock, "the agent's answer to its watchdog", probe)
            notifier.notify(.watchdog)
            notifier.notify(.status(status))
        } catch {
            try Task.checkCancellation()
            logger.critical("the agent does not answer its watchdog", metadata: ["error": "\(error)"])
        }
    }
}
