/// Where the stored bytes of a file with holes belong; everything else in it reads as zeros.
public struct SparseMap: Hashable, Sendable {
    /// A stretch of stored bytes.
    public struct Extent: Hashable, Sendable {
        public var offset: Int
        public var count: Int

        public init(offset: Int, count: Int) {
            self.offset = offset
            self.count = count
        }
    }

    /// Of the file with its holes.
    public var size: Int
    /// From front to back, without overlap.
    public var extents: [Extent]

    public init(size: Int, extents: [Extent]) {
        self.size = size
        self.extents = extents
    }

    /// The bytes that are stored.
    public var storedSize: Int { extents.reduce(0) { $0 + $1.count } }

    /// The map as PAX format 1.0 puts it before the contents, padded to whole blocks (GNU tar manual, "PAX Format,
    /// Version 1.0"): decimal numbers, each with a newline.
    var encoded: [UInt8] {
        // GNU tar takes the file's size from the last piece: a hole at the end needs an empty one behind it.
        let endsInHole = extents.last.map { $0.offset + $0.count != size } ?? true
        let pieces = endsInHole ? extents + [Extent(offset: size, count: 0)] : extents
        var text = "\(pieces.count)\n"
        for extent in pieces { text += "\(extent.offset)\n\(extent.count)\n" }
        let bytes = Array(text.utf8)
        return bytes + [UInt8](repeating: 0, count: TarMember.padding(after: bytes.count))
    }

    /// Checks numbers that came with an archive.
    ///
    /// - Parameters:
    ///   - numbers: Offset and length in turn.
    ///   - size: Of the file with its holes.
    ///   - storedSize: What the archive says that is stored.
    /// - Throws: ``DecodingFailure``.
    init(_ numbers: [Int64], size: Int64, storedSize: Int) throws {
        guard numbers.count % 2 == 0, size >= 0 else { throw SparseMap.damaged }
        self.init(size: Int(size), extents: [])
        extents.reserveCapacity(numbers.count / 2)
        var (end, stored) = (Int64(0), Int64(0))
        for index in stride(from: 0, to: numbers.count, by: 2) {
            let (offset, count) = (numbers[index], numbers[index + 1])
            guard offset >= end, count >= 0, offset <= size, count <= size - offset else { throw SparseMap.damaged }
            end = offset + count
            stored += count
            if count > 0 { extents.append(Extent(offset: Int(offset), count: Int(count))) }
        }
        guard stored == storedSize else { throw SparseMap.damaged }
    }

    static var damaged: DecodingFailure { DecodingFailure("the map of a sparse file is damaged") }
}
