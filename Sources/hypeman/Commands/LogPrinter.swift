import AgentAPI
import Foundation

/// Prints log records as the program wrote them: partial lines without a newline, stderr to stderr.
actor LogPrinter {
    private let timestamps: Bool
    private var isInLine: [String: Bool] = [:]

    init(timestamps: Bool = false) { self.timestamps = timestamps }

    func print(_ record: LogRecordResponse) async throws {
        try await StandardStreams.write(
            bytes(of: record),
            to: record.stream == "stderr" ? STDERR_FILENO : STDOUT_FILENO
        )
    }

    /// What to write for a record; separate for its test.
    func bytes(of record: LogRecordResponse) -> [UInt8] {
        var bytes: [UInt8] = []
        if timestamps, isInLine[record.stream] != true { bytes += "\(APIJSON.format(record.time)) ".utf8 }
        if let text = record.text {
            bytes += text.utf8
        } else if let data = record.base64.flatMap({ Data(base64Encoded: $0) }) {
            bytes += data
        }
        if !record.partial { bytes.append(UInt8(ascii: "\n")) }
        isInLine[record.stream] = record.partial
        return bytes
    }
}
