import Glibc

/// The processes of a session (setsid(2)): what a command has started, as far as it did not leave it on purpose.
enum ProcessSession {
    /// Kills every process of a session.
    ///
    /// A process may start others while they are being looked for, so the search is repeated until it finds none.
    static func kill(_ session: pid_t) {
        for _ in 0..<20 {
            let members = SmallFile.names(in: "/proc").compactMap { name -> pid_t? in
                guard let pid = pid_t(name), let line = SmallFile.line("/proc/\(name)/stat"),
                    let status = ProcessStatus(line), status.session == session, !status.isDead
                else { return nil }
                return pid
            }
            if members.isEmpty { return }
            for pid in members { Glibc.kill(pid, SIGKILL) }
        }
    }
}

/// Some fields of /proc/PID/stat (proc_pid_stat(5)).
struct ProcessStatus: Equatable {
    var session: pid_t
    /// Killed or a zombie: only its parent can still do something about it.
    var isDead: Bool

    init?(_ line: String) {
        // The second field is the program's name in parentheses, and may contain both.
        guard let end = line.lastIndex(of: ")") else { return nil }
        let fields = line[line.index(after: end)...].split(separator: " ")
        guard fields.count > 3, let session = pid_t(fields[3]) else { return nil }
        self.session = session
        isDead = fields[0] == "Z" || fields[0] == "X"
    }
}
