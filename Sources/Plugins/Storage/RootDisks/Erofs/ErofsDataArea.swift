import AgentCore
import CLinux
import Glibc
import SystemPackage
import Tar

/// The contents of files: whole blocks go to their place in the disk as they are read, tails and indexes into a spool, from
/// where they are put behind their inodes at the end.
///
/// So nothing of a file stays in memory, and nothing is written twice but the tails.
final class ErofsDataArea {
    let disk: DiskOutput
    private let spool: TailSpool
    private let path: FilePath
    private let limit: ByteSize
    private let budget: StorageBudget?
    private let compressor: FileCompressor?
    private var allocator = BlockAllocator(start: 1)

    /// The first block behind everything.
    var end: Int { allocator.end }

    /// - Parameters:
    ///   - path: The new disk, which must not exist.
    ///   - limit: Its largest size.
    ///   - budget: What all images together may take.
    ///   - compression: Of the files in it that get smaller by it.
    /// - Throws: ``AgentError`` if there can be none.
    init(
        _ path: FilePath,
        limit: ByteSize,
        budget: StorageBudget? = nil,
        compression: RootDiskCompression = .none
    ) throws {
        self.path = path
        self.limit = limit
        self.budget = budget
        compressor = compression == .lz4 ? FileCompressor() : nil
        let descriptor = try Files.translating("cannot make \(path)") {
            try FileDescriptor.open(
                path,
                .readWrite,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
        }
        disk = DiskOutput(descriptor, path: path)
        spool = try TailSpool(FilePath(path.string + ".tails"))
    }

    /// Room for `count` blocks that the caller fills.
    func allocate(_ count: Int) throws -> Int {
        let start = allocator.allocate(count)
        guard allocator.end * ErofsFormat.blockSize <= limit.bytes else {
            throw DecodingFailure("the root disk would be larger than \(limit), which is the limit")
        }
        return start
    }

    func release(_ contents: FileContents) { allocator.release(start: contents.start, count: contents.blocks) }

    /// Takes in the contents of a file.
    ///
    /// - Parameters:
    ///   - file: Where they come from.
    ///   - attributesSize: Of the future inode, which decides whether the tail has room behind it.
    /// - Returns: Where they are now.
    /// - Throws: ``DecodingFailure``; ``AgentError`` `storageFull`.
    func store(_ file: EntryContents, attributesSize: Int) throws -> FileContents {
        let size = file.size
        // Before anything is computed with it: a size can be anything up to the largest number there is.
        guard size <= limit.bytes else {
            throw DecodingFailure("the file is \(size) bytes long, the limit is \(limit)")
        }
        guard let compressor, size > ErofsFormat.blockSize else {
            return try storePlain(size: size, attributesSize: attributesSize) { try file.next() }
        }
        var read = try compressor.begin(file)
        // Of what is empty nothing is stored at all.
        if !Self.isZero(read[...]), compressor.isWorthIt { return try store(file, by: compressor) }
        return try storePlain(size: size, attributesSize: attributesSize) {
            defer { read = UnsafeRawBufferPointer(start: nil, count: 0) }
            return read.isEmpty ? try file.next() : read
        }
    }

    private func store(_ file: EntryContents, by compressor: FileCompressor) throws -> FileContents {
        let blocks = ErofsFormat.blocks(file.size)
        var contents = FileContents(size: file.size, start: try allocate(blocks), index: spool.end)
        contents.blocks = try compressor.compress(file, start: contents.start) { block, number in
            try write(block, at: number * ErofsFormat.blockSize)
        } index: { bytes in
            try bytes.withUnsafeBytes { try spool.append($0) }
        }
        allocator.cut(start: contents.start, count: blocks, to: contents.blocks)
        return contents
    }

    private func storePlain(
        size: Int,
        attributesSize: Int,
        next: () throws -> UnsafeRawBufferPointer
    ) throws -> FileContents {
        let blockSize = ErofsFormat.blockSize
        let tail = size % blockSize
        let isInline = tail > 0 && ErofsFormat.fitsInline(tail, attributesSize: attributesSize)
        let blocks = isInline ? size / blockSize : ErofsFormat.blocks(size)
        let contents = FileContents(
            size: size,
            start: try allocate(blocks),
            blocks: blocks,
            tail: isInline ? spool.end : nil
        )
        let inBlocks = isInline ? size - tail : size
        var done = 0
        while true {
            let piece = try next()
            if piece.isEmpty { break }
            let direct = min(piece.count, max(0, inBlocks - done))
            if direct > 0 {
                let bytes = UnsafeRawBufferPointer(rebasing: piece[..<direct])
                try writeLeavingHoles(bytes, at: contents.start * blockSize + done)
            }
            if direct < piece.count { try spool.append(UnsafeRawBufferPointer(rebasing: piece[direct...])) }
            done += piece.count
        }
        if !isInline, tail > 0 {
            // The block may have been another file's before.
            let zeros = [UInt8](repeating: 0, count: blockSize - tail)
            try zeros.withUnsafeBytes { try write($0, at: contents.start * blockSize + size) }
        }
        return contents
    }

    /// Writes what is not zero, by the blocks of the disk: large files are often empty for the most part, and zeros that
    /// nobody writes take no room on the host.
    private func writeLeavingHoles(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        let blockSize = ErofsFormat.blockSize
        var start = 0
        var position = 0
        while position < bytes.count {
            let end = min(bytes.count, position + blockSize - (offset + position) % blockSize)
            let isHole = offset + position >= disk.end && Self.isZero(bytes[position..<end])
            if isHole {
                if start < position {
                    try write(UnsafeRawBufferPointer(rebasing: bytes[start..<position]), at: offset + start)
                }
                start = end
            }
            position = end
        }
        if start < bytes.count { try write(UnsafeRawBufferPointer(rebasing: bytes[start...]), at: offset + start) }
    }

    private static func isZero(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        let bytes = UnsafeRawBufferPointer(rebasing: bytes)
        guard let base = bytes.baseAddress, bytes.first == 0 else { return bytes.isEmpty }
        // Equal to itself one further, and so to its first byte.
        return memcmp(base, base + 1, bytes.count - 1) == 0
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        try budget?.charge(bytes.count)
        try disk.write(bytes, at: offset)
    }

    /// Hands over a tail that was stored before.
    func withTail(of contents: FileContents, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard let offset = contents.tail else { return }
        try spool.read(at: offset, count: contents.tailSize, body)
    }

    /// Hands over the index of contents that were compressed, in pieces.
    func withIndex(of contents: FileContents, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard let offset = contents.index else { return }
        var done = 0
        while done < contents.indexSize {
            let count = min(ErofsFormat.blockSize, contents.indexSize - done)
            try spool.read(at: offset + done, count: count, body)
            done += count
        }
    }

    /// Gives the blocks of files that upper layers replaced back to the host.
    func punchHoles() throws {
        for run in allocator.unused {
            let result = clinux_punch_hole(
                disk.descriptor.rawValue,
                Int64(run.start * ErofsFormat.blockSize),
                Int64(run.count * ErofsFormat.blockSize)
            )
            // Without holes the disk is as good, only larger.
            if result != 0, errno == EOPNOTSUPP { return }
            try Files.translating("cannot free space in \(path)") { try Files.check(result) }
        }
    }
}

extension ErofsFormat {
    /// Whether a tail has room in one block with the larger of the two inodes and its attributes.
    static func fitsInline(_ tail: Int, attributesSize: Int) -> Bool {
        // The metadata area's first slot stays empty, so that no file gets the inode number 0.
        slotSize + extendedInodeSize + attributesSize + tail <= blockSize
    }
}
