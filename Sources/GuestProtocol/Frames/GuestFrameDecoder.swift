/// Cuts a stream of bytes into frames, however the bytes are split.
///
/// It holds at most one incomplete frame and what was appended but not yet taken out.
public struct GuestFrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    /// Bytes held.
    public var count: Int { buffer.count - start }

    /// Adds what has arrived.
    public mutating func append(_ bytes: some Collection<UInt8>) {
        if start > 0 {
            buffer.removeSubrange(..<start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// Takes out the next whole frame.
    ///
    /// - Returns: nil if more bytes are needed.
    /// - Throws: ``GuestFrameError`` if the frame is longer than it may be; nothing can be read after that.
    public mutating func next() throws(GuestFrameError) -> GuestFrame? {
        guard count >= GuestFrame.headerSize else { return nil }
        let length = buffer[(start + 1)..<(start + GuestFrame.headerSize)].reduce(0) { $0 << 8 | Int($1) }
        guard length <= GuestFrame.maximumPayload else {
            throw GuestFrameError(reason: "a frame of \(length) bytes; \(GuestFrame.maximumPayload) are allowed")
        }
        guard count >= GuestFrame.headerSize + length else { return nil }
        let kind = GuestFrame.Kind(rawValue: buffer[start])
        let payload = Array(buffer[(start + GuestFrame.headerSize)..<(start + GuestFrame.headerSize + length)])
        start += GuestFrame.headerSize + length
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= 256 << 10)
            start = 0
        }
        return GuestFrame(kind, payload)
    }
}
