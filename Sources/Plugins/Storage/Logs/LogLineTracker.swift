import GuestProtocol

import struct Foundation.Date

/// Knows which streams are in the middle of a line.
struct LogLineTracker {
    private var unfinished: Set<OutputStream> = []

    /// Takes in records that were written.
    mutating func note(_ records: some Sequence<UInt8>) {
        for line in Array(records).split(separator: 10) {
            guard let record = LogRecord(line) else { continue }
            if record.isPartial { unfinished.insert(record.stream) } else { unfinished.remove(record.stream) }
        }
    }

    /// Records that end the lines that won't go on: after a gap, or with a new boot.
    func endings(at time: Date) -> [UInt8] {
        OutputStream.allCases.filter(unfinished.contains).flatMap { LogRecord.encode([10], stream: $0, time: time) }
    }
}
