import Logging
import Synchronization
import SystemPackage

/// The way to journald, which all loggers share.
///
/// A log must never keep anybody waiting: what journald does not take at once is dropped, and the next entry that gets
/// through is followed by one that says how many were.
final class JournalSocket: Sendable {
    /// Where journald listens.
    static let path = "/run/systemd/journal/socket"

    private let socket: DatagramSocket
    private let dropped = Mutex(0)

    init(path: String = path) throws(Errno) { socket = try DatagramSocket(to: path) }

    func send(_ entry: JournalEntry, identifier: String) {
        guard isSent(entry) else { return dropped.withLock { $0 += 1 } }
        let lost = dropped.withLock { dropped -> Int in
            defer { dropped = 0 }
            return dropped
        }
        guard lost > 0 else { return }
        var notice = JournalEntry()
        notice.add("MESSAGE", "\(lost) entries of the log were lost: the journal was behind")
        notice.add("PRIORITY", "\(JournalEntry.priority(of: .warning))")
        notice.add("SYSLOG_IDENTIFIER", identifier)
        if !isSent(notice) { dropped.withLock { $0 += lost } }
    }

    private func isSent(_ entry: JournalEntry) -> Bool {
        do {
            try socket.send(entry.bytes, waits: false)
            return true
        } catch {
            return false
        }
    }
}

/// Writes entries with fields to the journal.
struct JournalLogHandler: LogHandler {
    let identifier: String
    let journal: JournalSocket
    var logLevel: Logger.Level = .trace
    var metadata: Logger.Metadata = [:]

    init(identifier: String, journal: JournalSocket) {
        self.identifier = identifier
        self.journal = journal
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let own = event.metadata { all.merge(own) { _, own in own } }
        if let error = event.error { all["error"] = all["error"] ?? "\(error)" }
        journal.send(JournalEntry(event, metadata: all, identifier: identifier), identifier: identifier)
    }
}
