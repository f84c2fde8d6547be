import Foundation
import Logging

/// The agent's own log.
enum AgentLog {
    private static let label = "hypeman-agent"

    /// Writes to stderr, where systemd and a terminal expect it, with a level of its own.
    static func makeLogger(level: Logger.Level) -> Logger { makeLogger(level: LogLevelSwitch(level), journal: nil) }

    /// Writes to the journal where there is one, else to stderr.
    static func makeLogger(level: LogLevelSwitch, journal: JournalSocket?) -> Logger {
        guard let journal else {
            return Logger(label: label) {
                SwitchedLogHandler(StreamLogHandler.standardError(label: $0), level: level)
            }
        }
        return Logger(label: label) { label in
            SwitchedLogHandler(JournalLogHandler(identifier: label, journal: journal), level: level)
        }
    }

    /// The journal, if this process's stderr goes there (systemd.exec(5), JOURNAL_STREAM).
    ///
    /// - Parameters:
    ///   - environment: The process's.
    ///   - stream: What stderr is, as /proc/self/fd/2 says (proc(5)).
    /// - Returns: nil if it goes elsewhere.
    static func journal(
        environment: [String: String],
        stream: String? = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/2")
    ) -> JournalSocket? {
        // The device is that of all sockets, so the inode says it all.
        guard let inode = environment["JOURNAL_STREAM"]?.split(separator: ":").last, stream == "socket:[\(inode)]"
        else { return nil }
        // Without it what is said goes to stderr, and so to the journal all the same, without fields.
        return try? JournalSocket()
    }
}
