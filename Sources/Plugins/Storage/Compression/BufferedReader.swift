/// Reads a source in large steps and hands it out in whatever pieces are wanted, without copying them.
final class BufferedReader {
    private let source: any ByteSource
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    private var start = 0
    private var end = 0

    init(_ source: any ByteSource) { self.source = source }

    deinit { buffer.deallocate() }

    /// The next 1 to `count` bytes, valid until the next call; empty at the end.
    func next(_ count: Int) throws -> UnsafeRawBufferPointer {
        if start == end {
            start = 0
            end = 0
            end = try source.read(into: buffer)
        }
        let piece = UnsafeRawBufferPointer(rebasing: buffer[start..<start + min(count, end - start)])
        start += piece.count
        return piece
    }

    /// The next `count` bytes, or fewer at the end.
    func bytes(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let piece = try next(count - bytes.count)
            if piece.isEmpty { break }
            bytes.append(contentsOf: piece)
        }
        return bytes
    }

    /// Reads on to the end of the source.
    func drain() throws {
        while try !next(.max).isEmpty {}
    }
}
