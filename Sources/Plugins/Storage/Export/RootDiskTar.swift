import AgentCore
import Tar

/// The tar of a root disk's tree, made while it is read: directories before what is in them, names in the order of their
/// bytes, so that the same disk gives the same tar.
///
/// What it holds in memory are the names of the directories that it is in, and one name of each file that has several.
final class RootDiskTar {
    private struct Frame {
        /// With a slash at its end; empty for the root.
        var path: [UInt8]
        var entries: ArraySlice<ErofsReader.Entry>
    }

    private let reader: ErofsReader
    private var frames: [Frame] = []
    private var firstNames: [UInt64: [UInt8]] = [:]
    private var file: (inode: ErofsInode, offset: Int)?
    private var directories: UInt64 = 0
    private var hasBegun = false
    private var hasEnded = false

    init(_ reader: ErofsReader) { self.reader = reader }

    /// About `count` bytes more, never none before the end.
    ///
    /// - Throws: ``DecodingFailure`` if the disk is damaged.
    func next(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 4096)
        while bytes.count < count, !hasEnded {
            if let (inode, offset) = file {
                let piece = try reader.contents(of: inode, at: offset, upTo: count - bytes.count)
                bytes += piece
                guard offset + piece.count == inode.size else {
                    file = (inode, offset + piece.count)
                    continue
                }
                bytes += [UInt8](repeating: 0, count: TarMember.padding(after: inode.size))
                file = nil
            } else if let header = try nextHeader() {
                bytes += header
            } else {
                bytes += TarMember.end
                hasEnded = true
            }
        }
        return bytes
    }

    private func nextHeader() throws -> [UInt8]? {
        guard hasBegun else {
            hasBegun = true
            let root = try reader.inode(reader.root)
            guard root.kind == .directory else { throw DecodingFailure("its root is no directory") }
            try enter(root, path: [])
            return try member(Array("./".utf8), root).header
        }
        while let frame = frames.last {
            guard let entry = frame.entries.first else {
                frames.removeLast()
                continue
            }
            frames[frames.count - 1].entries.removeFirst()
            return try header(of: entry, in: frame.path)
        }
        return nil
    }

    private func header(of entry: ErofsReader.Entry, in directory: [UInt8]) throws -> [UInt8] {
        let path = directory + entry.name
        let inode = try reader.inode(entry.number)
        guard inode.kind != .directory else {
            try enter(inode, path: path + [47])
            return try member(path + [47], inode).header
        }
        if inode.links > 1 {
            if let first = firstNames[inode.number] {
                var link = try member(path, inode)
                (link.kind, link.linkName, link.size, link.attributes) = (.hardLink, first, 0, [])
                return link.header
            }
            firstNames[inode.number] = path
        }
        if inode.kind == .regular, inode.size > 0 { file = (inode, 0) }
        return try member(path, inode).header
    }

    private func enter(_ directory: ErofsInode, path: [UInt8]) throws {
        // In a tree each directory is met once; a damaged disk may lead back into itself.
        directories += 1
        guard directories <= reader.count else { throw DecodingFailure("its directories are no tree") }
        frames.append(Frame(path: path, entries: try reader.entries(of: directory)[...]))
    }

    private func member(_ name: [UInt8], _ inode: ErofsInode) throws -> TarMember {
        var member = TarMember(name)
        member.mode = inode.mode
        member.owner = inode.owner
        member.group = inode.group
        member.modified = inode.modified
        member.attributes = try reader.attributes(of: inode)
        switch inode.kind {
        case .regular: member.size = inode.size
        case .directory: member.kind = .directory
        case .symbolicLink:
            member.kind = .symbolicLink
            member.linkName = try reader.target(of: inode)
        case .characterDevice, .blockDevice:
            member.kind = inode.kind == .blockDevice ? .blockDevice : .characterDevice
            member.device = inode.device
        case .fifo: member.kind = .fifo
        }
        return member
    }
}
