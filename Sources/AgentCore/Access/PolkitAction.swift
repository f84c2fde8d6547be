/// What polkit is asked about a user of the system bus: one action for what one would allow together.
///
/// Finer than a token's scopes where a rule for one user and one instance wants it: to look at its log is not to run
/// commands in it.
public enum PolkitAction: String, Sendable, CaseIterable {
    case instanceRead = "instance.read"
    case instanceLogs = "instance.logs"
    case instanceCreate = "instance.create"
    /// Start, stop, pause and so on, and what may be changed of it.
    case instanceManage = "instance.manage"
    case instanceExec = "instance.exec"
    case instanceDelete = "instance.delete"
    case imageRead = "image.read"
    case imageWrite = "image.write"
    case imageDelete = "image.delete"
    case networkRead = "network.read"
    case systemRead = "system.read"

    /// As in polkit's files.
    public var id: String { "io.hypeman.agent1.\(rawValue)" }
}
