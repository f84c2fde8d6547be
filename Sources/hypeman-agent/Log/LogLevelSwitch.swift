import Logging
import Synchronization

/// From which level on the agent logs, for all its loggers together: a reload changes it while they are in use.
final class LogLevelSwitch: Sendable {
    private let state: Mutex<Logger.Level>

    init(_ level: Logger.Level) { state = Mutex(level) }

    var level: Logger.Level {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// A handler whose level is that of a switch, unless a logger was given one of its own.
struct SwitchedLogHandler<Base: LogHandler>: LogHandler {
    private var base: Base
    private let level: LogLevelSwitch
    private var ownLevel: Logger.Level?

    init(_ base: Base, level: LogLevelSwitch) {
        self.base = base
        self.base.logLevel = .trace
        self.level = level
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? level.level }
        set { ownLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) { base.log(event: event) }
}
