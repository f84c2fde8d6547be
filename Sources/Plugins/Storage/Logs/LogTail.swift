import AgentCore
import Glibc
import GuestProtocol
import SystemPackage

/// Finds where the last lines of a log begin, reading from its end no further than that.
///
/// The two streams' lines can be woven into one another, so the first wanted line may begin before lines that are not
/// wanted: reading starts at its beginning, and those are left out.
struct LogTail {
    struct Start {
        var generation: Int
        var offset: Int
        /// The last record of the first wanted line.
        var firstWanted: LogPlace?
    }

    /// How far back the beginning of a wanted line is looked for.
    private static let maximumLookback = 1 << 20

    private let writer: LogWriter
    private let lines: Int

    init(_ writer: LogWriter, lines: Int) {
        self.writer = writer
        self.lines = lines
    }

    /// Where the lines begin that have no end yet: to someone who waits for new lines they are such.
    func findUnfinished(_ extent: LogWriter.Extent) throws -> Start {
        let end = extent.end
        var start = Start(generation: end.generation, offset: end.offset, firstWanted: end)
        guard let file = try writer.open(extent.generation) else { return start }
        defer { close(file.rawValue) }
        var undecided = Set(OutputStream.allCases)
        var lookback = 0
        _ = try LogRecordScan.backwards(file, length: extent.length) { offset, line in
            lookback += line.count
            guard let record = LogRecord(line) else { return true }
            if record.isPartial, undecided.contains(record.stream) {
                start.offset = offset
            } else if !record.isPartial {
                undecided.remove(record.stream)
            }
            return !undecided.isEmpty && lookback <= Self.maximumLookback
        }
        return start
    }

    func find(_ extent: LogWriter.Extent) throws -> Start {
        var count = 0
        var seen: Set<OutputStream> = []
        // Streams of which the beginning of a wanted line has not been found yet.
        var open: Set<OutputStream> = []
        var start = Start(generation: extent.generation, offset: extent.length, firstWanted: nil)
        guard lines > 0 else { return start }
        var lookback = 0
        for generation in stride(from: extent.generation, through: extent.oldest, by: -1) {
            guard let file = try writer.open(generation) else { break }
            defer { close(file.rawValue) }
            let length = generation == extent.generation ? extent.length : Int(try file.seek(offset: 0, from: .end))
            let isAtBeginning = try LogRecordScan.backwards(file, length: length) { offset, line in
                guard let record = LogRecord(line) else { return true }
                let endsLine = !record.isPartial || !seen.contains(record.stream)
                seen.insert(record.stream)
                if endsLine {
                    open.remove(record.stream)
                    if count < lines {
                        count += 1
                        open.insert(record.stream)
                        start.firstWanted = LogPlace(generation: generation, offset: offset)
                    }
                }
                if count == lines {
                    lookback += line.count
                    if open.isEmpty || lookback > Self.maximumLookback { return false }
                }
                start.generation = generation
                start.offset = offset
                return true
            }
            guard isAtBeginning else { break }
        }
        return start
    }
}
