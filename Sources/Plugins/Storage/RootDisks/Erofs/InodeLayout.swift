import Tar

/// One inode with its place; what `i_u` and the tail are was decided when it was laid out.
struct InodeLayout {
    let node: Node
    let isCompact: Bool
    let size: Int
    /// `raw_blkaddr`, the number of compressed blocks, or the device number.
    let union: UInt32
    let layout: ErofsFormat.Layout
    /// Bytes of the tail behind the inode.
    let inlineSize: Int

    var headSize: Int {
        (isCompact ? ErofsFormat.compactInodeSize : ErofsFormat.extendedInodeSize) + node.attributesSize
    }

    /// Where the index of compressed contents begins, behind a header that stands at a multiple of 8.
    var indexOffset: Int { (headSize + 7) & ~7 + ErofsFormat.indexHeaderSize }

    /// Bytes of all that belongs together.
    var spaceNeeded: Int {
        guard layout == .compressed, case .file(let contents) = node.payload else { return headSize + inlineSize }
        return indexOffset + contents.indexSize
    }

    /// Inode and attributes.
    ///
    /// - Parameters:
    ///   - links: `st_nlink`.
    ///   - index: The number that 32-bit programs see.
    ///   - encoder: Takes what stands before the tail.
    func encode(links: Int, index: UInt32, into encoder: inout ErofsEncoder) {
        // i_format: bit 0 is the inode's form, the layout starts at bit 1.
        encoder.append((isCompact ? 0 : 1) | layout.rawValue << 1)
        encoder.append(UInt16(node.attributes.isEmpty ? 0 : (node.attributesSize - 12) / 4 + 1))
        encoder.append(node.fileMode)
        if isCompact {
            encoder.append(UInt16(links))
            encoder.append(UInt32(size))
            encoder.append(UInt32(0))
            encoder.append(union)
            encoder.append(index)
            encoder.append(UInt16(node.owner))
            encoder.append(UInt16(node.group))
            encoder.append(UInt32(0))
        } else {
            encoder.append(UInt16(0))
            encoder.append(UInt64(size))
            encoder.append(union)
            encoder.append(index)
            encoder.append(node.owner)
            encoder.append(node.group)
            encoder.append(node.modified.seconds)
            encoder.append(node.modified.nanoseconds)
            encoder.append(UInt32(links))
            encoder.appendZeros(16)
        }
        if !node.attributes.isEmpty {
            // The header of inline attributes: no filter, no shared ones.
            encoder.appendZeros(12)
            var entries: [UInt8] = []
            for attribute in node.attributes { attribute.encode(into: &entries) }
            encoder.append(entries)
        }
    }
}
