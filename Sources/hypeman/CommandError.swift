/// A failure of the command itself, said in one line: what went wrong and what to do.
struct CommandError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong; lower-case start, no full stop.
    var what: String
    /// What to do about it; nil where `what` says it already.
    var remedy: String?
    /// The exit code where it isn't the command's usual one.
    var exitCode: Int32?

    init(_ what: String, remedy: String? = nil, exitCode: Int32? = nil) {
        self.what = what
        self.remedy = remedy
        self.exitCode = exitCode
    }

    var description: String { "hypeman: \(what)" + (remedy.map { " — \($0)" } ?? "") }
}

/// The exit codes of `hypeman`, besides those of programs in instances.
enum ExitStatus {
    /// A command that hands no program's code through failed.
    static let failure: Int32 = 1
    /// The command line is wrong, or `run`, `exec` or `wait` itself failed: not the program, as with docker.
    static let ownFailure: Int32 = 125
    /// A second ctrl-C.
    static let interrupted: Int32 = 130
}
