/// Bytes to be read once, from front to back, on one thread.
public protocol ByteSource: AnyObject {
    /// Reads at least one byte into `buffer`, or returns 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

/// Bytes in pieces of its own choice, to be read once, from front to back, on one thread.
public protocol ChunkSource: AnyObject {
    /// The next piece, valid until the next call; empty at the end, and then again and again.
    func nextChunk() throws -> UnsafeRawBufferPointer
}
