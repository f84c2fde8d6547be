/// One thing that `check` has to say about a host.
public struct HostFinding: Sendable, Hashable {
    public enum Level: String, Sendable {
        case ok
        /// The agent works, but not as well as it could.
        case warning
        /// The agent, or a part of it, does not work.
        case error
    }

    public var level: Level
    /// What was looked at: a tool, a setting, a variable.
    public var subject: String
    /// What was found.
    public var message: String
    /// The command or setting that mends it.
    public var fix: String?

    public init(_ level: Level, _ subject: String, _ message: String, fix: String? = nil) {
        self.level = level
        self.subject = subject
        self.message = message
        self.fix = fix
    }
}
