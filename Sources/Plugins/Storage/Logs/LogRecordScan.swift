import GuestProtocol
import SystemPackage

/// Looks at log files from their end.
enum LogRecordScan {
    private static let window = 4 * LogRecord.maximumLength

    /// Calls `body` with each record and its offset, the last first, until it returns false.
    ///
    /// - Returns: Whether the beginning was reached.
    static func backwards(
        _ file: FileDescriptor,
        length: Int,
        _ body: (_ offset: Int, _ line: ArraySlice<UInt8>) throws -> Bool
    ) throws -> Bool {
        var end = length
        while end > 0 {
            let start = max(0, end - window)
            let bytes = try read(file, start..<end)
            var recordEnd = bytes.count
            while recordEnd > 0 {
                let newline = bytes[..<(recordEnd - 1)].lastIndex(of: 10)
                if newline == nil, start > 0, recordEnd < bytes.count { break }
                let recordStart = newline.map { $0 + 1 } ?? 0
                let line = bytes[recordStart..<recordEnd]
                guard try body(start + recordStart, line.last == 10 ? line.dropLast() : line) else { return false }
                recordEnd = recordStart
            }
            end = start + recordEnd
        }
        return true
    }

    /// The length up to the last newline: what a process that was killed has written whole.
    static func completeLength(of file: FileDescriptor, size: Int) throws -> Int {
        let start = max(0, size - window)
        let bytes = try read(file, start..<size)
        return bytes.lastIndex(of: 10).map { start + $0 + 1 } ?? start
    }

    /// What is unfinished at the end of a file, as far as its last records tell.
    static func tracker(of file: FileDescriptor, length: Int) throws -> LogLineTracker {
        var tracker = LogLineTracker()
        let bytes = try read(file, max(0, length - window)..<length)
        tracker.note(bytes)
        return tracker
    }

    private static func read(_ file: FileDescriptor, _ range: Range<Int>) throws -> [UInt8] {
        try Array(unsafeUninitializedCapacity: range.count) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            while count < range.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: raw[count..<range.count])
                let read = try file.read(fromAbsoluteOffset: Int64(range.lowerBound + count), into: rest)
                if read == 0 { break }
                count += read
            }
        }
    }
}
