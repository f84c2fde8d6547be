import CLz4
import Tar

/// Compresses the contents of files as erofs wants them: each block of the disk is filled with as much as goes into it, so
/// that a guest reads one block, and unpacks one window at most, for what it looks at.
///
/// What a block holds, an extent, begins anywhere in the file, but each except the last has at least a block's size, since no
/// two may begin in one cluster (see ``ClusterIndex``); what would not have is stored as it is.
///
/// Used by one thread, for one file after the other.
final class FileCompressor {
    private static let blockSize = ErofsFormat.blockSize
    /// Refilled, and what is left moved, when less than a window is there.
    private static let bufferSize = 1 << 20

    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCompressor.bufferSize, alignment: 4096)
    private let block = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCompressor.blockSize, alignment: 4096)
    private let trial = UnsafeMutableRawBufferPointer.allocate(byteCount: ErofsFormat.window, alignment: 4096)
    /// What was read and is not written yet.
    private var pending = 0..<0

    deinit {
        buffer.deallocate()
        block.deallocate()
        trial.deallocate()
    }

    /// The beginning of a file: all that there is up to a window, and perhaps more.
    ///
    /// It is kept for ``compress(_:start:write:index:)``.
    func begin(_ file: EntryContents) throws -> UnsafeRawBufferPointer {
        pending = 0..<0
        try fill(from: file)
        return UnsafeRawBufferPointer(rebasing: buffer[pending])
    }

    /// Whether what ``begin(_:)`` read gets smaller by an eighth at least.
    var isWorthIt: Bool {
        let window = window
        let limit = window.count - window.count / 8
        return LZ4_compress_default(window.chars, trial.chars, Int32(window.count), Int32(limit)) > 0
    }

    /// Writes what ``begin(_:)`` read, and the rest of the file, in blocks.
    ///
    /// - Parameters:
    ///   - file: The rest.
    ///   - start: The first of the blocks that the disk has for it: as many as without compression are enough.
    ///   - write: Takes a block and its number.
    ///   - index: Takes the next bytes of the file's index.
    /// - Returns: How many blocks were needed.
    /// - Throws: What the file, `write` and `index` throw.
    func compress(
        _ file: EntryContents,
        start: Int,
        write: (UnsafeRawBufferPointer, Int) throws -> Void,
        index: ([UInt8]) throws -> Void
    ) throws -> Int {
        var next = start
        var clusters = ClusterIndex()
        while true {
            try fill(from: file)
            if pending.isEmpty { break }
            let (count, isPlain) = makeBlock()
            try write(UnsafeRawBufferPointer(block), next)
            clusters.append(count, isPlain: isPlain, block: UInt32(next))
            pending = pending.lowerBound + count..<pending.upperBound
            next += 1
            if clusters.bytes.count >= 1 << 16 { try index(clusters.takeBytes()) }
        }
        clusters.finish()
        try index(clusters.takeBytes())
        return next - start
    }

    // MARK: Blocks

    /// The bytes that the next block is made from: whatever pieces the file came in, so that the same file gives the same blocks.
    private var window: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: buffer[pending.prefix(ErofsFormat.window)])
    }

    /// Fills a block from the window.
    ///
    /// - Returns: How many of its bytes are in it, and whether they are as they were.
    private func makeBlock() -> (count: Int, isPlain: Bool) {
        let window = window
        if window.count > Self.blockSize {
            var taken = Int32(window.count)
            let size = Int(LZ4_compress_destSize(window.chars, block.chars, &taken, Int32(Self.blockSize)))
            if size > 0, taken > Self.blockSize {
                // At the block's end, as `LZ4_0PADDING` says; what begins a stream is never zero.
                let room = Self.blockSize - size
                UnsafeMutableRawBufferPointer(rebasing: block[room...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[..<size]))
                UnsafeMutableRawBufferPointer(rebasing: block[..<room]).initializeMemory(as: UInt8.self, repeating: 0)
                return (Int(taken), false)
            }
        }
        let plain = UnsafeRawBufferPointer(rebasing: window.prefix(Self.blockSize))
        block.copyMemory(from: plain)
        UnsafeMutableRawBufferPointer(rebasing: block[plain.count...]).initializeMemory(as: UInt8.self, repeating: 0)
        return (plain.count, true)
    }

    /// Sees to it that a window is there, or the file's end.
    private func fill(from file: EntryContents) throws {
        guard pending.count < ErofsFormat.window else { return }
        if pending.lowerBound > 0 {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[pending]))
            pending = 0..<pending.count
        }
        while pending.count < ErofsFormat.window {
            let piece = try file.next(upTo: Self.bufferSize - pending.count)
            if piece.isEmpty { return }
            UnsafeMutableRawBufferPointer(rebasing: buffer[pending.upperBound...]).copyMemory(from: piece)
            pending = 0..<pending.count + piece.count
        }
    }
}

/// The index of a compressed file: an entry for each of its clusters, which have a block's size (the kernel's
/// `struct z_erofs_lcluster_index` in `fs/erofs/erofs_fs.h`).
struct ClusterIndex {
    static let entrySize = 8

    enum Kind: UInt16 {
        /// An extent that is stored as it is begins in the cluster.
        case plain = 0
        /// A compressed extent begins in the cluster.
        case head = 1
        /// None does.
        case inner = 2
    }

    private var encoder = ErofsEncoder()
    /// The file's bytes so far.
    private var position = 0
    /// The clusters that have an entry.
    private var clusters = 0

    var bytes: [UInt8] { encoder.bytes }

    /// Adds the next extent.
    ///
    /// - Parameters:
    ///   - count: The file's bytes in it.
    ///   - isPlain: Whether they are stored as they are.
    ///   - block: Where.
    mutating func append(_ count: Int, isPlain: Bool, block: UInt32) {
        append(isPlain ? .plain : .head, offset: position % ErofsFormat.blockSize)
        encoder.append(block)
        let first = position / ErofsFormat.blockSize
        position += count
        // The one that it ends in is the next extent's.
        let end = position / ErofsFormat.blockSize
        while clusters < end {
            append(.inner, offset: 0)
            encoder.append(UInt16(clusters - 1 - first))
            encoder.append(UInt16(end - clusters + 1))
        }
    }

    /// The end of the file: in a cluster in which no extent begins, one does that is empty.
    mutating func finish() {
        guard clusters < ErofsFormat.blocks(position) else { return }
        append(.plain, offset: position % ErofsFormat.blockSize)
        encoder.append(UInt32(0))
    }

    /// What was added since the last time.
    mutating func takeBytes() -> [UInt8] {
        defer { encoder.removeAll() }
        return encoder.bytes
    }

    private mutating func append(_ kind: Kind, offset: Int) {
        encoder.append(kind.rawValue)
        encoder.append(UInt16(offset))
        clusters += 1
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var chars: UnsafePointer<CChar>? { baseAddress?.assumingMemoryBound(to: CChar.self) }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate var chars: UnsafeMutablePointer<CChar>? { baseAddress?.assumingMemoryBound(to: CChar.self) }
}
