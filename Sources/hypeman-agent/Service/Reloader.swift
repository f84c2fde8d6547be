import AgentCore
import Dispatch
import Logging
import ServiceLifecycle
import UnixSignals

/// Takes up a changed configuration at SIGHUP, as far as that is possible while the agent runs.
///
/// The log's level is; everything else is built into parts that are in use, so it is named as waiting for a restart, which
/// VMs don't notice. A configuration that does not parse changes nothing.
struct Reloader: Service {
    /// The environment that the agent was started with.
    let environment: [String: String]
    let level: LogLevelSwitch
    let notifier: ServiceNotifier
    /// What is said of the agent once it is done.
    let status: @Sendable () -> String
    let logger: Logger

    func run() async throws {
        var running = environment
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            notifier.notify(.reloading)
            do {
                let asked = try await Self.load()
                try apply(asked, to: &running)
            } catch {
                logger.error("the configuration is as before: it cannot be read anew", metadata: ["error": "\(error)"])
            }
            notifier.notify(.ready(status: status()))
        }
    }

    private static func load() async throws -> [String: String] {
        // A file may keep its reader waiting.
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try Environment.load() }) }
        }
    }

    /// Makes what can be made true of what is asked, and says what cannot.
    ///
    /// - Parameters:
    ///   - asked: The environment as it is now.
    ///   - running: That which the agent works with.
    /// - Throws: ``ConfigurationError``; nothing has changed then.
    func apply(_ asked: [String: String], to running: inout [String: String]) throws {
        let configuration = try AgentConfiguration(environment: asked)
        for name in Environment.ignored(in: asked) {
            logger.warning("variable is not known to this agent and ignored", metadata: ["variable": "\(name)"])
        }
        if level.level != configuration.logLevel {
            logger.notice("log level", metadata: ["level": "\(configuration.logLevel)", "before": "\(level.level)"])
            level.level = configuration.logLevel
        }
        running[Self.levelName] = asked[Self.levelName]
        let waiting = Self.changed(from: running, to: asked)
        guard !waiting.isEmpty else { return logger.notice("the configuration was read anew") }
        logger.warning(
            "the configuration was read anew, and takes full effect with a restart of the agent; VMs run on meanwhile",
            metadata: ["changed": "\(waiting.joined(separator: ", "))"]
        )
    }

    private static let levelName = "LOG_LEVEL"

    /// The names of the agent's variables whose texts differ; unset and empty are the same.
    static func changed(from running: [String: String], to asked: [String: String]) -> [String] {
        AgentConfiguration.descriptions.map(\.name).filter { (running[$0] ?? "") != (asked[$0] ?? "") }
    }
}
