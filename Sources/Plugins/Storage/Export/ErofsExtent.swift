import CLz4
import Tar

/// A part of a compressed file, unpacked.
struct ErofsExtent {
    /// What an index says of one cluster; see ``ClusterIndex``.
    struct Entry {
        let kind: ClusterIndex.Kind
        /// Where in the cluster an extent begins.
        let offset: Int
        /// The extent's block.
        let block: UInt32
        /// How many clusters before this one the extent begins.
        var distance: Int { Int(block & 0xffff) }

        /// - Throws: ``DecodingFailure`` for what is no entry.
        init(_ bytes: [UInt8]) throws {
            var decoder = ErofsDecoder(bytes)
            let advice: UInt16 = try decoder.next()
            offset = Int(try decoder.next(UInt16.self))
            block = try decoder.next()
            guard let kind = ClusterIndex.Kind(rawValue: advice), offset < ErofsFormat.blockSize else {
                throw DecodingFailure("an index has an entry of no known kind")
            }
            self.kind = kind
        }
    }

    /// Of the file.
    let inode: UInt64
    /// Where in the file it begins.
    let start: Int
    let bytes: [UInt8]

    var end: Int { start + bytes.count }

    /// Unpacks a block; nil if there are not exactly so many bytes in it.
    static func unpack(_ block: [UInt8], count: Int) -> [UInt8]? {
        let packed = block.drop { $0 == 0 }
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { target, filled in
            filled = packed.withUnsafeBytes { source in
                let result = LZ4_decompress_safe(
                    source.baseAddress?.assumingMemoryBound(to: CChar.self),
                    UnsafeMutableRawPointer(target.baseAddress)?.assumingMemoryBound(to: CChar.self),
                    Int32(source.count),
                    Int32(count)
                )
                return max(0, Int(result))
            }
        }
        return bytes.count == count ? bytes : nil
    }
}

extension ErofsReader {
    /// The extent that has a byte of a compressed file, unpacked.
    func extent(of inode: ErofsInode, at offset: Int) throws -> ErofsExtent {
        if let extent, extent.inode == inode.number, extent.start <= offset, offset < extent.end { return extent }
        let blockSize = ErofsFormat.blockSize
        // The cluster in which it begins: this one, or one of those before.
        var cluster = offset / blockSize
        var entry = try indexEntry(cluster, of: inode)
        if entry.kind != .inner, cluster * blockSize + entry.offset > offset {
            cluster -= 1
            entry = try indexEntry(cluster, of: inode)
        }
        if entry.kind == .inner {
            cluster -= entry.distance
            entry = try indexEntry(cluster, of: inode)
        }
        let start = cluster * blockSize + entry.offset
        guard entry.kind != .inner, start <= offset else { throw Self.damagedIndex(of: inode) }
        // It ends where the next begins.
        var end = inode.size
        var next = cluster + 1
        while next * blockSize < inode.size, next * blockSize - start <= ErofsFormat.window {
            let following = try indexEntry(next, of: inode)
            if following.kind != .inner {
                end = next * blockSize + following.offset
                break
            }
            next += 1
        }
        guard offset < end, end <= inode.size, end - start <= ErofsFormat.window else {
            throw Self.damagedIndex(of: inode)
        }
        let extent = ErofsExtent(inode: inode.number, start: start, bytes: try unpack(entry, count: end - start, inode))
        self.extent = extent
        return extent
    }

    private func unpack(_ entry: ErofsExtent.Entry, count: Int, _ inode: ErofsInode) throws -> [UInt8] {
        let place = Int(entry.block) * ErofsFormat.blockSize
        if entry.kind == .plain {
            guard count <= ErofsFormat.blockSize else { throw Self.damagedIndex(of: inode) }
            return try read(place, count)
        }
        guard let bytes = ErofsExtent.unpack(try read(place, ErofsFormat.blockSize), count: count) else {
            throw DecodingFailure("inode \(inode.number) cannot be unpacked")
        }
        return bytes
    }

    private static func damagedIndex(of inode: ErofsInode) -> DecodingFailure {
        DecodingFailure("the index of inode \(inode.number) is damaged")
    }

    private func indexEntry(_ cluster: Int, of inode: ErofsInode) throws -> ErofsExtent.Entry {
        guard let indexOffset = inode.indexOffset, cluster >= 0 else { throw Self.damagedIndex(of: inode) }
        return try ErofsExtent.Entry(read(indexOffset + cluster * ClusterIndex.entrySize, ClusterIndex.entrySize))
    }
}
