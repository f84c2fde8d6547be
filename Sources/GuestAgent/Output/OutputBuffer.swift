import GuestProtocol
import NIOCore

/// The program's output that the host has not yet said it has, in order, bounded.
struct OutputBuffer {
    /// What a piece costs beside its bytes, so that many small writes are bounded too.
    private static let overhead = 96
    /// Pieces that come close together become one up to this size.
    private static let pieceSize = 16 << 10
    private static let mergeWithinMicroseconds: UInt64 = 10_000

    private var pieces = CircularBuffer<GuestOutput>()
    private var usage = 0
    private let capacity: Int

    /// Position after the last byte that the program wrote.
    private(set) var end: UInt64 = 0

    /// Makes a buffer that holds about `capacity` bytes.
    init(capacity: Int) {
        self.capacity = capacity
    }

    /// Whether more can only be had by dropping something.
    var isFull: Bool { usage >= capacity }

    /// Adds what the program wrote.
    mutating func append(_ bytes: [UInt8], of stream: OutputStream, at uptime: UInt64) {
        defer { end += UInt64(bytes.count) }
        if let last = pieces.last, last.stream == stream, last.bytes.count + bytes.count <= OutputBuffer.pieceSize,
            uptime - last.uptimeMicroseconds < OutputBuffer.mergeWithinMicroseconds
        {
            pieces[pieces.index(before: pieces.endIndex)].bytes.append(contentsOf: bytes)
            usage += bytes.count
            return
        }
        pieces.append(GuestOutput(stream: stream, offset: end, uptimeMicroseconds: uptime, bytes: bytes))
        usage += bytes.count + OutputBuffer.overhead
    }

    /// Drops the oldest pieces until there is room; the gap shows in the offsets of those that are left.
    mutating func dropUntilNotFull() {
        while isFull, let oldest = pieces.popFirst() { usage -= oldest.bytes.count + OutputBuffer.overhead }
    }

    /// Forgets what lies before a position.
    mutating func acknowledge(upTo position: UInt64) {
        while let oldest = pieces.first, oldest.offset + UInt64(oldest.bytes.count) <= position {
            pieces.removeFirst()
            usage -= oldest.bytes.count + OutputBuffer.overhead
        }
    }

    /// The next stretch at or after a position, nil if there is none yet.
    func next(from position: UInt64) -> GuestOutput? {
        // Pieces are in order of their offsets: halve until the first that ends after the position.
        var low = pieces.startIndex
        var count = pieces.count
        while count > 0 {
            let middle = pieces.index(low, offsetBy: count / 2)
            if pieces[middle].offset + UInt64(pieces[middle].bytes.count) <= position {
                low = pieces.index(after: middle)
                count -= count / 2 + 1
            } else {
                count /= 2
            }
        }
        guard low != pieces.endIndex else { return nil }
        var piece = pieces[low]
        if piece.offset < position {
            piece.bytes.removeFirst(Int(position - piece.offset))
            piece.offset = position
        }
        return piece
    }
}
