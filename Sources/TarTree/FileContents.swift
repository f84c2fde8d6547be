import Tar

/// Where a file's contents come from.
protocol FileContents {
    /// Whether an end that comes early is a fault.
    var knowsSize: Bool { get }
    /// The next 1 to `limit` bytes, valid until the next call; empty at the end.
    func contents(upTo limit: Int) throws -> UnsafeRawBufferPointer
}

extension TarReader: FileContents {
    var knowsSize: Bool { true }
}

/// All that a source has.
struct WholeSource: FileContents {
    private let reader: BufferedReader

    init(_ source: any ChunkSource) { reader = BufferedReader(source) }

    var knowsSize: Bool { false }

    func contents(upTo limit: Int) throws -> UnsafeRawBufferPointer { try reader.next(limit) }
}
