/// The contents of the entry that a reader is at, as the file has them: with holes as zeros.
///
/// Valid until the reader goes on; used by its thread.
public final class EntryContents {
    private static let zeroCount = 64 << 10
    /// Never written, never freed.
    nonisolated(unsafe) private static let zeros: UnsafeRawBufferPointer = {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: zeroCount, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        return UnsafeRawBufferPointer(bytes)
    }()

    /// Of the file, in bytes.
    public let size: Int
    private let reader: TarReader
    /// What is stored of it and was not read yet; nil for a file without holes.
    private var extents: ArraySlice<SparseMap.Extent>?
    private var position = 0

    public init(of entry: TarEntry, from reader: TarReader) {
        self.reader = reader
        size = entry.sparse?.size ?? entry.size
        extents = entry.sparse.map { $0.extents[...] }
    }

    /// The next piece, of at most `limit` bytes, valid until the next call; empty at the end.
    ///
    /// - Throws: ``DecodingFailure`` if the archive is cut off.
    public func next(upTo limit: Int = .max) throws -> UnsafeRawBufferPointer {
        guard let extents else { return try reader.contents(upTo: limit) }
        guard let extent = extents.first, extent.offset <= position else {
            let end = extents.first?.offset ?? size
            let count = min(end - position, limit, Self.zeroCount)
            position += count
            return UnsafeRawBufferPointer(rebasing: Self.zeros[..<count])
        }
        let piece = try reader.contents(upTo: min(limit, extent.offset + extent.count - position))
        position += piece.count
        if position == extent.offset + extent.count { self.extents = extents.dropFirst() }
        return piece
    }
}
