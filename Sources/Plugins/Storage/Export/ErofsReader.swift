import AgentCore
import Glibc
import SystemPackage
import Tar

/// Reads the root disks that `ErofsWriter` writes: erofs without shared attributes, files perhaps compressed with LZ4 and whole
/// indexes (the kernel's `fs/erofs/erofs_fs.h`).
///
/// The disk is our own, but the host's may be broken: every number is checked before it is used. Used by one thread at a
/// time.
final class ErofsReader {
    struct Entry {
        var name: [UInt8]
        var number: UInt64
    }

    let root: UInt64
    /// How many inodes there are.
    let count: UInt64
    private let path: FilePath
    private let descriptor: FileDescriptor
    private let size: Int
    private let metadataStart: Int
    private let epoch: FileTime
    /// What was unpacked last, as files are read from front to back.
    var extent: ErofsExtent?

    /// Opens a disk, which may be removed from then on.
    ///
    /// - Throws: ``DecodingFailure`` if it is no such disk; ``AgentError`` if it cannot be read.
    init(_ path: FilePath) throws {
        self.path = path
        let descriptor = try Files.translating("cannot open \(path)") {
            try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        }
        do {
            let block = try Self.read(descriptor, at: ErofsFormat.superblockOffset, count: 128, of: path)
            var superblock = ErofsDecoder(block)
            guard try superblock.next(UInt32.self) == ErofsFormat.magic else { throw DecodingFailure("it is no erofs") }
            try superblock.skip(8)
            guard try superblock.next(UInt8.self) == 12 else { throw DecodingFailure("its blocks have another size") }
            try superblock.skip(1)
            root = UInt64(try superblock.next(UInt16.self))
            count = try superblock.next()
            epoch = FileTime(seconds: try superblock.next(), nanoseconds: try superblock.next())
            size = Int(try superblock.next(UInt32.self)) * ErofsFormat.blockSize
            metadataStart = Int(try superblock.next(UInt32.self)) * ErofsFormat.blockSize
            try superblock.skip(4 + 16 + 16)
            guard try superblock.next(UInt32.self) & ~ErofsFormat.paddedBlocks == 0 else {
                throw DecodingFailure("it has features of other writers")
            }
            self.descriptor = descriptor
        } catch {
            close(descriptor.rawValue)
            throw error
        }
    }

    deinit { close(descriptor.rawValue) }

    /// The inode of a number.
    func inode(_ number: UInt64) throws -> ErofsInode {
        guard number < UInt64(size / ErofsFormat.slotSize) else { throw DecodingFailure("there is no inode \(number)") }
        let offset = metadataStart + Int(number) * ErofsFormat.slotSize
        var head = ErofsDecoder(try read(offset, min(ErofsFormat.extendedInodeSize, max(0, size - offset))))
        let format: UInt16 = try head.next()
        let attributeCount = Int(try head.next(UInt16.self))
        let fileMode: UInt16 = try head.next()
        guard let kind = ErofsInode.Kind(rawValue: fileMode & 0o170000),
            let layout = ErofsFormat.Layout(rawValue: format >> 1 & 7)
        else { throw DecodingFailure("inode \(number) is of no known form") }
        let isCompact = format & 1 == 0
        let compactLinks: UInt16 = try head.next()
        let length = isCompact ? UInt64(try head.next(UInt32.self)) : try head.next()
        if isCompact { try head.skip(4) }
        let union: UInt32 = try head.next()
        try head.skip(4)
        let (owner, group, modified, links): (UInt32, UInt32, FileTime, Int)
        if isCompact {
            (owner, group) = (UInt32(try head.next(UInt16.self)), UInt32(try head.next(UInt16.self)))
            (modified, links) = (epoch, Int(compactLinks))
        } else {
            (owner, group) = (try head.next(), try head.next())
            modified = FileTime(seconds: try head.next(), nanoseconds: try head.next())
            links = Int(try head.next(UInt32.self))
        }
        guard modified.nanoseconds < 1_000_000_000 else {
            throw DecodingFailure("the time of inode \(number) is none")
        }
        guard length <= UInt64(size) || kind == .regular && length < 1 << 50 else {
            throw DecodingFailure("inode \(number) is larger than the disk")
        }
        let headSize = isCompact ? ErofsFormat.compactInodeSize : ErofsFormat.extendedInodeSize
        let attributesSize = attributeCount == 0 ? 0 : 12 + (attributeCount - 1) * 4
        return ErofsInode(
            number: number,
            kind: kind,
            mode: fileMode & 0o7777,
            owner: owner,
            group: group,
            modified: modified,
            links: links,
            size: Int(length),
            union: union,
            tailOffset: layout == .inline ? offset + headSize + attributesSize : nil,
            indexOffset: layout == .compressed
                ? (offset + headSize + attributesSize + 7) & ~7 + ErofsFormat.indexHeaderSize : nil,
            attributesOffset: offset + headSize,
            attributesSize: attributesSize
        )
    }

    /// Part of an inode's contents: at least one byte, at most `count`; none at the end.
    func contents(of inode: ErofsInode, at offset: Int, upTo count: Int) throws -> [UInt8] {
        let left = inode.size - offset
        guard left > 0 else { return [] }
        if inode.indexOffset != nil {
            let extent = try extent(of: inode, at: offset)
            return Array(extent.bytes[(offset - extent.start)...].prefix(count))
        }
        let tail = inode.tailOffset == nil ? 0 : inode.size % ErofsFormat.blockSize
        let inBlocks = inode.size - tail
        if let tailOffset = inode.tailOffset, offset >= inBlocks {
            return try read(tailOffset + offset - inBlocks, min(left, count))
        }
        return try read(Int(inode.union) * ErofsFormat.blockSize + offset, min(inBlocks - offset, count))
    }

    /// All of a small inode's contents.
    private func contents(of inode: ErofsInode) throws -> [UInt8] {
        guard inode.size <= size else { throw DecodingFailure("inode \(inode.number) is larger than the disk") }
        var bytes: [UInt8] = []
        while bytes.count < inode.size {
            bytes += try contents(of: inode, at: bytes.count, upTo: inode.size - bytes.count)
        }
        return bytes
    }

    /// Where a symbolic link leads.
    func target(of inode: ErofsInode) throws -> [UInt8] { try contents(of: inode) }

    /// What is in a directory, in the order of the bytes of its names, without `.` and `..`.
    func entries(of directory: ErofsInode) throws -> [Entry] {
        let bytes = try contents(of: directory)
        var entries: [Entry] = []
        for start in stride(from: 0, to: bytes.count, by: ErofsFormat.blockSize) {
            let block = Array(bytes[start..<min(bytes.count, start + ErofsFormat.blockSize)])
            try appendEntries(in: block, of: directory, to: &entries)
        }
        return entries
    }

    private func appendEntries(in block: [UInt8], of directory: ErofsInode, to entries: inout [Entry]) throws {
        func broken() -> DecodingFailure { DecodingFailure("directory \(directory.number) is damaged") }
        var decoder = ErofsDecoder(block)
        var found: [(number: UInt64, offset: Int)] = []
        repeat {
            let number: UInt64 = try decoder.next()
            found.append((number, Int(try decoder.next(UInt16.self))))
            try decoder.skip(2)
        } while found.count * ErofsFormat.directoryEntrySize < found[0].offset
        for (index, entry) in found.enumerated() {
            let end = index + 1 < found.count ? found[index + 1].offset : block.count
            guard entry.offset >= found.count * ErofsFormat.directoryEntrySize, entry.offset < end, end <= block.count
            else { throw broken() }
            // Behind the last name of a full block there are zeros.
            let name = Array(block[entry.offset..<end].prefix { $0 != 0 })
            guard !name.isEmpty, !name.contains(47) else { throw broken() }
            if name != [46], name != [46, 46] { entries.append(Entry(name: name, number: entry.number)) }
        }
    }

    /// Extended attributes with their whole names, in the order of the disk.
    func attributes(of inode: ErofsInode) throws -> [(name: [UInt8], value: [UInt8])] {
        guard inode.attributesSize > 0 else { return [] }
        let bytes = try read(inode.attributesOffset, inode.attributesSize)
        var decoder = ErofsDecoder(bytes)
        try decoder.skip(12)
        var attributes: [(name: [UInt8], value: [UInt8])] = []
        var position = 12
        while position < bytes.count {
            let nameSize = Int(try decoder.next(UInt8.self))
            let namespace: UInt8 = try decoder.next()
            let valueSize = Int(try decoder.next(UInt16.self))
            guard let prefix = Self.namespaces[namespace] else {
                throw DecodingFailure("inode \(inode.number) has an attribute of no known namespace")
            }
            attributes.append((prefix + Array(try decoder.take(nameSize)), Array(try decoder.take(valueSize))))
            let used = 4 + nameSize + valueSize
            try decoder.skip((4 - used % 4) % 4)
            position += (used + 3) & ~3
        }
        return attributes
    }

    private static let namespaces: [UInt8: [UInt8]] = [
        1: Array("user.".utf8), 2: Array("system.posix_acl_access".utf8), 3: Array("system.posix_acl_default".utf8),
        4: Array("trusted.".utf8), 6: Array("security.".utf8),
    ]

    func read(_ offset: Int, _ count: Int) throws -> [UInt8] {
        guard offset >= 0, count >= 0, count <= size - offset else {
            throw DecodingFailure("it points behind its own end")
        }
        return try Self.read(descriptor, at: offset, count: count, of: path)
    }

    private static func read(_ descriptor: FileDescriptor, at offset: Int, count: Int, of path: FilePath) throws
        -> [UInt8]
    {
        let bytes = try Files.translating("cannot read \(path)") {
            try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                let raw = UnsafeMutableRawBufferPointer(buffer)
                while filled < count {
                    let read = try descriptor.read(
                        fromAbsoluteOffset: Int64(offset + filled),
                        into: UnsafeMutableRawBufferPointer(rebasing: raw[filled...])
                    )
                    if read == 0 { break }
                    filled += read
                }
            }
        }
        guard bytes.count == count else { throw DecodingFailure("it is cut off") }
        return bytes
    }
}
