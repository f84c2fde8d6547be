import AgentCore
import Glibc
import SystemPackage
import Tar

/// Writes the metadata of an erofs image behind its data: directories, inodes, and at last the superblock.
///
/// The same tree and data give the same bytes.
struct ErofsWriter {
    private let tree: ImageTree
    private let data: ErofsDataArea
    private let uuid: [UInt8]
    private let cancellation: Cancellation
    private var inodes: [InodeLayout] = []
    private var placement = InodePlacement()
    private var epoch = FileTime()
    /// Whether there is a compressed file.
    private var isCompressed = false

    /// - Parameters:
    ///   - tree: What the layers made.
    ///   - data: Where its contents went.
    ///   - uuid: 16 bytes that name the image.
    ///   - cancellation: Looked at now and then.
    init(_ tree: ImageTree, data: ErofsDataArea, uuid: [UInt8], cancellation: Cancellation) {
        self.tree = tree
        self.data = data
        self.uuid = uuid
        self.cancellation = cancellation
    }

    /// Writes everything.
    ///
    /// - Returns: The size of the disk.
    mutating func finish() throws -> Int {
        epoch = commonestTime()
        try layOut(tree.root)
        let metadataStart = data.end
        inodes.sort { $0.node.number < $1.node.number }
        try writeDirectories()
        try writeInodes(at: metadataStart)
        // One spare block: fsck.erofs 1.5 reads twelve bytes behind every inode, also one without attributes at the end.
        let blocks = metadataStart + placement.blocks + 1
        try writeSuperblock(metadataStart: metadataStart, blocks: blocks)
        try data.disk.flush()
        try Files.translating("cannot size the root disk") {
            try Files.check(ftruncate(data.disk.descriptor.rawValue, blocks * ErofsFormat.blockSize))
        }
        try data.punchHoles()
        return blocks * ErofsFormat.blockSize
    }

    /// The time that compact inodes share, as they have no room for one of their own.
    private func commonestTime() -> FileTime {
        var counts: [FileTime: Int] = [:]
        // Neighbours often have the same: they are counted together.
        var run = (time: tree.root.modified, count: 0)
        func visit(_ node: Node) {
            if node.modified != run.time {
                counts[run.time, default: 0] += run.count
                run = (node.modified, 0)
            }
            run.count += 1
            for child in node.directory?.children.values ?? [:].values { visit(child.node) }
        }
        visit(tree.root)
        counts[run.time, default: 0] += run.count
        let best = counts.max { left, right in
            (left.value, right.key.seconds, right.key.nanoseconds) < (
                right.value, left.key.seconds, left.key.nanoseconds
            )
        }
        return best?.key ?? FileTime()
    }

    // MARK: Layout

    /// Gives a number to a node and everything below it, in the order of names.
    private mutating func layOut(_ node: Node) throws {
        guard node.number == 0 else { return }
        try cancellation.check()
        var union: UInt32 = 0
        var size = 0
        var tail = 0
        var layout: ErofsFormat.Layout?
        var children: [DirectoryBlocks.Entry] = []
        switch node.payload {
        case .file(let contents):
            (size, tail) = (contents.size, contents.tailSize)
            if contents.index != nil {
                layout = .compressed
                union = UInt32(contents.blocks)
            } else {
                union = UInt32(contents.start)
            }
        case .symbolicLink(let target):
            size = target.count
            (tail, union) = try layOutBlocks(of: node, size: size)
        case .directory(let directory):
            // From here on the names are needed in their order only.
            let blocks = DirectoryBlocks(directory, node: node)
            directory.blocks = blocks
            directory.children = [:]
            size = blocks.size
            (tail, union) = try layOutBlocks(of: node, size: size)
            children = blocks.entries
        case .device(_, let major, let minor): union = ErofsFormat.device(major: major, minor: minor)
        case .fifo: break
        }
        let inode = InodeLayout(
            node: node,
            isCompact: isCompact(node, size: size),
            size: size,
            union: union,
            layout: layout ?? (tail > 0 ? .inline : .plain),
            inlineSize: tail
        )
        node.number = placement.place(inode.spaceNeeded)
        isCompressed = isCompressed || layout == .compressed
        inodes.append(inode)
        for child in children { try layOut(child.node) }
    }

    /// Room for contents that are made from the tree: the size of their tail, and their first block.
    private func layOutBlocks(of node: Node, size: Int) throws -> (tail: Int, start: UInt32) {
        let tail = size % ErofsFormat.blockSize
        let isInline = tail > 0 && ErofsFormat.fitsInline(tail, attributesSize: node.attributesSize)
        let blocks = isInline ? size / ErofsFormat.blockSize : ErofsFormat.blocks(size)
        return (isInline ? tail : 0, UInt32(try data.allocate(blocks)))
    }

    private func isCompact(_ node: Node, size: Int) -> Bool {
        node.modified == epoch && node.owner <= UInt16.max && node.group <= UInt16.max && size <= UInt32.max
            && links(of: node) <= UInt16.max
    }

    /// `st_nlink`; a directory has one from its parent, its own `.`, and the `..` of each directory in it.
    private func links(of node: Node) -> Int {
        guard let directory = node.directory else { return node.links }
        return 2 + (directory.blocks?.directories ?? 0)
    }

    // MARK: Writing

    /// The full blocks of directories and long links; their tails go behind the inodes.
    private func writeDirectories() throws {
        for inode in inodes where inode.size > inode.inlineSize {
            var offset = Int(inode.union) * ErofsFormat.blockSize
            let end = offset + inode.size - inode.inlineSize
            try forEachBlock(of: inode.node) { block in
                guard offset < end else { return }
                // Reused blocks are not empty.
                let padded = block + [UInt8](repeating: 0, count: ErofsFormat.blockSize - block.count)
                try padded.withUnsafeBytes { try data.write($0, at: offset) }
                offset += ErofsFormat.blockSize
            }
        }
    }

    /// The contents of a directory or link in blocks, the last one unpadded.
    private func forEachBlock(of node: Node, _ body: ([UInt8]) throws -> Void) throws {
        switch node.payload {
        case .directory(let directory): try directory.blocks?.forEachBlock(body)
        case .symbolicLink(let target): try body(target)
        default: break
        }
    }

    private func appendTail(of inode: InodeLayout, to encoder: inout ErofsEncoder) throws {
        guard inode.inlineSize > 0 else { return }
        if case .file(let contents) = inode.node.payload {
            return try data.withTail(of: contents) { encoder.append($0) }
        }
        var last: [UInt8] = []
        try forEachBlock(of: inode.node) { last = $0 }
        encoder.append(last)
    }

    private func writeInodes(at metadataStart: Int) throws {
        let start = metadataStart * ErofsFormat.blockSize
        var encoder = ErofsEncoder()
        var written = 0
        func flush() throws {
            try encoder.bytes.withUnsafeBytes { try data.write($0, at: start + written) }
            written += encoder.bytes.count
            encoder.removeAll()
        }
        for (index, inode) in inodes.enumerated() {
            if index % 1024 == 0 { try cancellation.check() }
            let position = Int(inode.node.number) * ErofsFormat.slotSize
            if encoder.bytes.count >= 1 << 20 { try flush() }
            encoder.appendZeros(position - written - encoder.bytes.count)
            let links = links(of: inode.node)
            inode.encode(links: links, index: UInt32(truncatingIfNeeded: index + 1), into: &encoder)
            try appendTail(of: inode, to: &encoder)
            guard inode.layout == .compressed, case .file(let contents) = inode.node.payload else { continue }
            encoder.appendZeros(inode.indexOffset - inode.headSize)
            try data.withIndex(of: contents) { piece in
                encoder.append(piece)
                if encoder.bytes.count >= 1 << 20 { try flush() }
            }
        }
        try flush()
    }

    private func writeSuperblock(metadataStart: Int, blocks: Int) throws {
        var encoder = ErofsEncoder()
        encoder.append(ErofsFormat.magic)
        encoder.append(UInt32(0))  // checksum, below
        encoder.append(ErofsFormat.compatibleFeatures)
        encoder.append(UInt8(12))  // log2 of the block size
        encoder.append(UInt8(0))
        encoder.append(UInt16(tree.root.number))
        encoder.append(UInt64(inodes.count))
        encoder.append(epoch.seconds)
        encoder.append(epoch.nanoseconds)
        encoder.append(UInt32(blocks))
        encoder.append(UInt32(metadataStart))
        encoder.append(UInt32(0))  // no shared attributes
        encoder.append(uuid)
        encoder.appendZeros(16)  // volume name
        encoder.append(isCompressed ? ErofsFormat.paddedBlocks : 0)
        encoder.appendZeros(44)  // tables that are not used; LZ4 with its usual distance
        encoder.appendZeros(ErofsFormat.blockSize - ErofsFormat.superblockOffset - encoder.bytes.count)
        var bytes = encoder.bytes
        let checksum = CRC32C.checksum(bytes[...])
        withUnsafeBytes(of: checksum.littleEndian) { bytes.replaceSubrange(4..<8, with: $0) }
        try bytes.withUnsafeBytes { try data.write($0, at: ErofsFormat.superblockOffset) }
    }
}
