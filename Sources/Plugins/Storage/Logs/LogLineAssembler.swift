import AgentCore
import GuestProtocol

/// Puts lines together again that came in several records, each stream's for itself.
struct LogLineAssembler {
    private var parts: [OutputStream: LogLine] = [:]
    private var firstWanted: LogPlace?

    /// Leaves out lines that were read only because a later one began before them.
    mutating func dropLinesEnding(before place: LogPlace?) { firstWanted = place }

    /// Takes a record in; a line if one is complete, or as long as lines get.
    mutating func add(_ record: LogRecord, at place: LogPlace) -> LogLine? {
        var line = parts[record.stream] ?? LogLine(time: record.time, stream: record.stream, bytes: [])
        line.bytes += record.bytes
        line.isPartial = record.isPartial
        if record.isPartial, line.bytes.count < LogRecord.maximumContents {
            parts[record.stream] = line
            return nil
        }
        parts[record.stream] = nil
        if let firstWanted, place < firstWanted { return nil }
        return line
    }

    /// What there is of lines that have no end yet; the rest comes as further parts.
    mutating func unfinished() -> [LogLine] {
        defer { parts = [:] }
        return OutputStream.allCases.compactMap { parts[$0] }
    }
}
