import Logging

/// The agent's own log.
enum AgentLog {
    /// Writes to stderr, where systemd and a terminal expect it.
    static func makeLogger(level: Logger.Level) -> Logger {
        var logger = Logger(label: "hypeman-agent", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = level
        return logger
    }
}
