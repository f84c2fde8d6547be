import NIOCore

/// Cuts the stream into lines, none longer than a limit.
struct QMPLineDecoder: NIOSingleStepByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    /// QEMU's longest answers (query-qmp-schema) stay under 1 MiB, and none of those is asked for.
    static let limit = 1 << 20

    struct LineTooLong: Error, CustomStringConvertible {
        var description: String { "a line of more than \(QMPLineDecoder.limit) bytes" }
    }

    /// Bytes of the unfinished line that hold no newline, so that each byte is looked at once.
    private var scanned = 0

    mutating func decode(buffer: inout ByteBuffer) throws -> ByteBuffer? {
        let fresh = buffer.readableBytesView.dropFirst(scanned)
        guard let newline = fresh.firstIndex(of: UInt8(ascii: "\n")) else {
            scanned = buffer.readableBytes
            guard scanned <= Self.limit else { throw LineTooLong() }
            return nil
        }
        let length = newline - buffer.readerIndex
        scanned = 0
        guard length <= Self.limit else { throw LineTooLong() }
        let line = buffer.readSlice(length: length)
        buffer.moveReaderIndex(forwardBy: 1)
        return line
    }

    mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> ByteBuffer? {
        try decode(buffer: &buffer)
    }
}
