import GuestProtocol

import struct Foundation.Date

/// One line of a log file, as Kubernetes' container runtimes write it (CRI logging format):
/// `<RFC 3339 time> <stdout|stderr> <F|P> <bytes>`, where `P` says that the line goes on in the stream's next record.
struct LogRecord {
    /// Longer lines are split.
    static let maximumContents = 16 << 10
    /// Of a whole record.
    static let maximumLength = maximumContents + 64

    var time: Date
    var stream: OutputStream
    var isPartial: Bool
    var bytes: ArraySlice<UInt8>

    /// Reads a record without its newline; nil if it is none.
    init?(_ line: ArraySlice<UInt8>) {
        let parts = line.prefix(LogTimestamp.length + 12).split(
            separator: 32,
            maxSplits: 3,
            omittingEmptySubsequences: false
        )
        guard parts.count == 4, let time = LogTimestamp.parse(parts[0]),
            let stream = OutputStream(rawValue: String(decoding: parts[1], as: UTF8.self)), parts[2].count == 1,
            let tag = parts[2].first, tag == UInt8(ascii: "F") || tag == UInt8(ascii: "P")
        else { return nil }
        self.time = time
        self.stream = stream
        isPartial = tag == UInt8(ascii: "P")
        bytes = line[parts[3].startIndex...]
    }

    /// The records of a stretch of output; what has no newline at its end becomes a partial one.
    static func encode(_ output: ArraySlice<UInt8>, stream: OutputStream, time: Date) -> [UInt8] {
        let head = LogTimestamp.format(time) + Array(" \(stream.rawValue) ".utf8)
        var records: [UInt8] = []
        records.reserveCapacity(output.count + 256)
        var rest = output
        while !rest.isEmpty {
            let newline = rest.prefix(maximumContents + 1).firstIndex(of: 10)
            let end = newline ?? min(rest.endIndex, rest.startIndex + maximumContents)
            records += head
            records.append(UInt8(ascii: newline == nil ? "P" : "F"))
            records.append(32)
            records += rest[rest.startIndex..<end]
            records.append(10)
            rest = rest[(newline.map { $0 + 1 } ?? end)...]
        }
        return records
    }
}
