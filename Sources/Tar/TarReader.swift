/// Reads a tar archive from front to back: ustar, GNU and PAX (POSIX.1-2001, "pax Interchange Format"; GNU tar manual,
/// "Basic Tar Format").
///
/// Everything that is wrong is a ``DecodingFailure``; the caller knows which archive it was.
public final class TarReader {
    /// Names and PAX headers beyond this are refused; Linux's longest path is 4 KiB, all xattrs of a file 64 KiB each.
    private static let maximumExtension = 1 << 20

    private static let maximumGlobalRecords = 64
    /// Pieces of one sparse file.
    private static let maximumExtents = 1 << 18

    private let reader: BufferedReader
    private let takesSparseFiles: Bool
    private var global = PAXRecords()
    /// What is left of the current member's contents, and of the padding behind them.
    private var left = 0
    private var padding = 0
    /// How many bytes of the archive were read.
    public private(set) var position = 0
    /// Whether the archive's end was marked, as every writer should; without the mark it may have been cut off.
    public private(set) var hasEndMark = false

    public convenience init(_ source: any ByteSource, takesSparseFiles: Bool = false) {
        self.init(BufferedSource(source), takesSparseFiles: takesSparseFiles)
    }

    /// - Parameters:
    ///   - source: The archive's bytes.
    ///   - takesSparseFiles: Whether files may be stored with holes, see ``TarEntry/sparse``; otherwise one is a failure.
    public init(_ source: any ChunkSource, takesSparseFiles: Bool = false) {
        reader = BufferedReader(source)
        self.takesSparseFiles = takesSparseFiles
    }

    /// The next member, nil at the end of the archive.
    ///
    /// What was not read of the one before is skipped.
    public func next() throws -> TarEntry? {
        var pax = global
        var longName: [UInt8]?
        var longLink: [UInt8]?
        var isExtended = false
        while true {
            try skip()
            guard let header = try header() else {
                if isExtended { throw DecodingFailure("it ends after an extended header") }
                return nil
            }
            let size = try header.size()
            isExtended = true
            switch header.typeFlag {
            case UInt8(ascii: "x"):
                // One for each member (POSIX); merging several would let them pile up in memory.
                pax = global
                pax.merge(try PAXRecords(try extendedHeader(size)))
            case UInt8(ascii: "g"):
                global.merge(try PAXRecords(try extendedHeader(size)))
                guard global.count <= Self.maximumGlobalRecords else {
                    throw DecodingFailure("it has too many global PAX records")
                }
                pax = global
            case UInt8(ascii: "L"): longName = Array(try extendedHeader(size).prefix { $0 != 0 })
            case UInt8(ascii: "K"): longLink = Array(try extendedHeader(size).prefix { $0 != 0 })
            case UInt8(ascii: "V"):
                // GNU's volume label has no contents and is no file.
                isExtended = false
            default:
                return try entry(header, size: try pax.size() ?? size, pax: pax, name: longName, linkName: longLink)
            }
        }
    }

    /// The next piece of the current member's contents, of at most `limit` bytes, valid until the next call; empty at
    /// their end.
    public func contents(upTo limit: Int = .max) throws -> UnsafeRawBufferPointer {
        guard left > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let piece = try reader.next(min(left, limit))
        guard !piece.isEmpty else { throw DecodingFailure("it is cut off in the middle of a file") }
        left -= piece.count
        position += piece.count
        return piece
    }

    /// Reads what follows the end of the archive, so that a digest covers the whole stream.
    public func drain() throws { try reader.drain() }

    private func entry(
        _ header: TarHeader,
        size: Int,
        pax: PAXRecords,
        name: [UInt8]?,
        linkName: [UInt8]?
    ) throws -> TarEntry {
        let name = pax["GNU.sparse.name"] ?? pax["path"] ?? name ?? header.name
        let linkName = pax["linkpath"] ?? linkName ?? header.linkName
        let kind: TarEntry.Kind
        switch header.typeFlag {
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"):
            // Before ustar a directory was a file whose name ends in a slash.
            kind = name.last == 47 ? .directory : .file
        case UInt8(ascii: "1"): kind = .hardLink
        case UInt8(ascii: "2"): kind = .symbolicLink
        case UInt8(ascii: "3"): kind = .characterDevice
        case UInt8(ascii: "4"): kind = .blockDevice
        case UInt8(ascii: "5"): kind = .directory
        case UInt8(ascii: "6"): kind = .fifo
        case UInt8(ascii: "S"): kind = .file
        case let flag: throw DecodingFailure("\(TarEntry.printable(name)) is of the unknown type \(flag)")
        }
        let isSparse = header.typeFlag == UInt8(ascii: "S") || kind == .file && pax.hasSparseFile
        if isSparse, !takesSparseFiles {
            throw DecodingFailure("\(TarEntry.printable(name)) is stored as a sparse file, which is not supported")
        }
        var entry = TarEntry(kind: kind, name: name, linkName: linkName)
        try header.fill(&entry)
        try pax.apply(to: &entry)
        // Only files have contents; some writers put a link target's size into the link's header.
        entry.size = kind == .file ? size : 0
        expect(entry.size)
        if isSparse {
            let map = try sparseMap(header, pax)
            entry.sparse = map
            entry.size = left
        }
        return entry
    }

    /// Nil at the end: two blocks of zeros, or one, or the end of the stream.
    private func header() throws -> TarHeader? {
        let bytes = try reader.bytes(TarHeader.size)
        position += bytes.count
        if bytes.isEmpty { return nil }
        guard bytes.count == TarHeader.size else { throw DecodingFailure("it is cut off in the middle of a header") }
        if bytes.allSatisfy({ $0 == 0 }) {
            hasEndMark = true
            return nil
        }
        return try TarHeader(bytes)
    }

    private func expect(_ size: Int) {
        left = size
        padding = (TarHeader.size - size % TarHeader.size) % TarHeader.size
    }

    private func skip() throws {
        while left > 0 { _ = try contents() }
        left = padding
        padding = 0
        while left > 0 { _ = try contents() }
    }

    private func extendedHeader(_ size: Int) throws -> [UInt8] {
        guard size <= Self.maximumExtension else { throw DecodingFailure("an extended header is \(size) bytes long") }
        expect(size)
        let bytes = try reader.bytes(size)
        guard bytes.count == size else { throw DecodingFailure("it is cut off in the middle of an extended header") }
        position += size
        left = 0
        return bytes
    }

    // MARK: Files with holes

    /// The map of a sparse file in whichever of its four formats (GNU tar manual, "Storing Sparse Files"); what is left of
    /// the contents is what the map tells of.
    private func sparseMap(_ header: TarHeader, _ pax: PAXRecords) throws -> SparseMap {
        if header.typeFlag == UInt8(ascii: "S") { return try oldSparseMap(header) }
        guard let size = try pax.sparseSize() else { throw SparseMap.damaged }
        let numbers = try pax.hasMapInContents ? numbersInContents() : pax.sparseNumbers()
        return try SparseMap(numbers, size: size, storedSize: left)
    }

    /// GNU's own format: four extents in the header and 21 in each block behind it.
    private func oldSparseMap(_ header: TarHeader) throws -> SparseMap {
        var numbers: [Int64] = []
        var block = header.bytes
        var (start, count, more) = (386, 4, 482)
        while true {
            for field in 0..<(2 * count) {
                let bytes = block[(start + 12 * field)..<(start + 12 * field + 12)]
                // Places that are not used are empty.
                if bytes.allSatisfy({ $0 == 0 }) { continue }
                guard let number = TarNumber.parse(bytes) else { throw SparseMap.damaged }
                numbers.append(number)
            }
            guard block[more] != 0 else { break }
            try checkCount(numbers.count / 2)
            block = try reader.bytes(TarHeader.size)
            guard block.count == TarHeader.size else {
                throw DecodingFailure("it is cut off in the middle of a header")
            }
            position += block.count
            (start, count, more) = (0, 21, 504)
        }
        guard let size = TarNumber.parse(header.bytes[483..<495]) else { throw SparseMap.damaged }
        return try SparseMap(numbers, size: size, storedSize: left)
    }

    /// PAX format 1.0: decimal numbers in lines before the contents, the first of them says how many extents there are.
    private func numbersInContents() throws -> [Int64] {
        var numbers: [Int64] = []
        var expected = 1
        var line: [UInt8] = []
        while true {
            guard left >= TarHeader.size else { throw SparseMap.damaged }
            let block = try reader.bytes(TarHeader.size)
            guard block.count == TarHeader.size else { throw DecodingFailure("it is cut off in the middle of a file") }
            left -= block.count
            position += block.count
            for byte in block {
                guard byte == 10 else {
                    guard (48...57).contains(byte), line.count < 20 else { throw SparseMap.damaged }
                    line.append(byte)
                    continue
                }
                guard let number = TarNumber.parseDecimal(line[...]) else { throw SparseMap.damaged }
                line = []
                numbers.append(number)
                if numbers.count == 1 {
                    try checkCount(Int(number))
                    expected = 1 + 2 * Int(number)
                }
                if numbers.count == expected { return Array(numbers.dropFirst()) }
            }
        }
    }

    private func checkCount(_ extents: Int) throws {
        guard extents <= Self.maximumExtents else {
            throw DecodingFailure("a sparse file is in more than \(Self.maximumExtents) pieces")
        }
    }
}
