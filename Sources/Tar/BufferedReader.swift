/// Reads a source in large steps.
public final class BufferedSource: ChunkSource {
    private let source: any ByteSource
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)

    public init(_ source: any ByteSource) { self.source = source }

    deinit { buffer.deallocate() }

    public func nextChunk() throws -> UnsafeRawBufferPointer {
        let count = try source.read(into: buffer)
        return UnsafeRawBufferPointer(rebasing: buffer[..<count])
    }
}

/// Hands a source out in whatever pieces are wanted, without copying them.
public final class BufferedReader {
    private let source: any ChunkSource
    private var chunk = UnsafeRawBufferPointer(start: nil, count: 0)

    public init(_ source: any ChunkSource) { self.source = source }

    public convenience init(_ source: any ByteSource) { self.init(BufferedSource(source)) }

    /// The next 1 to `count` bytes, valid until the next call; empty at the end.
    public func next(_ count: Int) throws -> UnsafeRawBufferPointer {
        if chunk.isEmpty {
            chunk = UnsafeRawBufferPointer(start: nil, count: 0)
            chunk = try source.nextChunk()
        }
        let piece = UnsafeRawBufferPointer(rebasing: chunk[..<min(count, chunk.count)])
        chunk = UnsafeRawBufferPointer(rebasing: chunk[piece.count...])
        return piece
    }

    /// The next `count` bytes, or fewer at the end.
    public func bytes(_ count: Int) throws -> [UInt8] {
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
    public func drain() throws {
        while try !next(.max).isEmpty {}
    }
}
