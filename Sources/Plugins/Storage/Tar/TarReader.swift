/// Reads a tar archive from front to back: ustar, GNU and PAX (POSIX.1-2001, "pax Interchange Format"; GNU tar manual,
/// "Basic Tar Format").
///
/// Everything that is wrong is a ``DecodingFailure``; the caller knows which archive it was.
final class TarReader {
    /// Names and PAX headers beyond this are refused; Linux's longest path is 4 KiB, all xattrs of a file 64 KiB each.
    private static let maximumExtension = 1 << 20

    private static let maximumGlobalRecords = 64

    private let reader: BufferedReader
    private var global = PAXRecords()
    /// What is left of the current member's contents, and of the padding behind them.
    private var left = 0
    private var padding = 0
    /// How many bytes of the archive were read.
    private(set) var position = 0
    /// Whether the archive's end was marked, as every writer should; without the mark it may have been cut off.
    private(set) var hasEndMark = false

    init(_ source: any ByteSource) { reader = BufferedReader(source) }

    init(_ source: any ChunkSource) { reader = BufferedReader(source) }

    /// The next member, nil at the end of the archive.
    ///
    /// What was not read of the one before is skipped.
    func next() throws -> TarEntry? {
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

    /// The next piece of the current member's contents, valid until the next call; empty at their end.
    func contents() throws -> UnsafeRawBufferPointer {
        guard left > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let piece = try reader.next(left)
        guard !piece.isEmpty else { throw DecodingFailure("it is cut off in the middle of a file") }
        left -= piece.count
        position += piece.count
        return piece
    }

    /// Reads what follows the end of the archive, so that a digest covers the whole stream.
    func drain() throws { try reader.drain() }

    private func entry(
        _ header: TarHeader,
        size: Int,
        pax: PAXRecords,
        name: [UInt8]?,
        linkName: [UInt8]?
    ) throws -> TarEntry {
        let name = pax["path"] ?? name ?? header.name
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
        case UInt8(ascii: "S"):
            throw DecodingFailure("\(TarEntry.printable(name)) is stored as a sparse file, which is not supported")
        case let flag: throw DecodingFailure("\(TarEntry.printable(name)) is of the unknown type \(flag)")
        }
        if pax.hasSparseFile {
            throw DecodingFailure("\(TarEntry.printable(name)) is stored as a sparse file, which is not supported")
        }
        var entry = TarEntry(kind: kind, name: name, linkName: linkName)
        try header.fill(&entry)
        try pax.apply(to: &entry)
        // Only files have contents; some writers put a link target's size into the link's header.
        entry.size = kind == .file ? size : 0
        expect(entry.size)
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
}
