import Tar

/// A file, directory or link of the image while it is merged: what becomes an inode.
///
/// One node can have several names.
final class Node {
    enum Payload {
        case directory(Directory)
        case file(FileContents)
        case symbolicLink([UInt8])
        case device(isBlock: Bool, major: UInt32, minor: UInt32)
        case fifo
    }

    var payload: Payload
    var mode: UInt16
    var owner: UInt32
    var group: UInt32
    var modified: FileTime
    var attributes: [ExtendedAttribute]
    /// How many names it has.
    var links = 0
    /// Its number in the disk, once that is laid out; 0 until then.
    var number: UInt64 = 0

    init(_ payload: Payload, metadata: Metadata) {
        self.payload = payload
        mode = metadata.mode
        owner = metadata.owner
        group = metadata.group
        modified = metadata.modified
        attributes = metadata.attributes
    }

    /// What an entry says about its file apart from the contents.
    struct Metadata {
        var mode: UInt16 = 0o755
        var owner: UInt32 = 0
        var group: UInt32 = 0
        var modified = FileTime()
        var attributes: [ExtendedAttribute] = []

        /// Of a directory that no layer describes: root's, 0755, from the epoch, the same in every build.
        static let implicitDirectory = Metadata()

        init() {}

        init(_ entry: TarEntry) throws {
            mode = entry.mode
            owner = entry.owner
            group = entry.group
            modified = entry.modified
            attributes = try entry.attributes.compactMap { try ExtendedAttribute($0) }
            guard attributesSize <= ErofsFormat.maximumAttributesSize else {
                throw DecodingFailure(
                    "the extended attributes have \(attributesSize) bytes, \(ErofsFormat.maximumAttributesSize) are possible"
                )
            }
        }

        var attributesSize: Int { attributes.isEmpty ? 0 : attributes.reduce(12) { $0 + $1.encodedSize } }
    }

    /// Takes another entry's word for everything but the contents.
    func update(_ metadata: Metadata) {
        mode = metadata.mode
        owner = metadata.owner
        group = metadata.group
        modified = metadata.modified
        attributes = metadata.attributes
    }

    var directory: Directory? {
        guard case .directory(let directory) = payload else { return nil }
        return directory
    }

    /// Bytes of the attributes in an inode: a header of twelve and the entries.
    var attributesSize: Int { attributes.isEmpty ? 0 : attributes.reduce(12) { $0 + $1.encodedSize } }
}

/// Where the bytes of a file are.
struct FileContents {
    var size = 0
    /// The first block in the disk, of as many as `blocks`; in a volume the number of its inode.
    var start = 0
    var blocks = 0
    /// Where its index waits, if it is compressed.
    var index: Int?
    /// Where the last part of a block waits until the inodes are written; nil if it is in a block of its own.
    var tail: Int?

    /// Bytes of the index.
    var indexSize: Int { index == nil ? 0 : ErofsFormat.blocks(size) * ClusterIndex.entrySize }
    var tailSize: Int { tail == nil ? 0 : size % ErofsFormat.blockSize }
}

/// The names in a directory.
final class Directory {
    struct Child {
        var node: Node
        /// The layer whose entry put it there, -1 for one that no entry describes.
        var layer: Int
    }

    unowned(unsafe) let parent: Directory?
    /// Its own node; the tree holds nodes, a directory lives as long as its node.
    unowned(unsafe) private(set) var node: Node?
    let depth: Int
    var children: [[UInt8]: Child] = [:]
    /// What they become in the disk, once that is laid out.
    var blocks: DirectoryBlocks?
    /// The layer that last put something here or below.
    var touchedBy = -1
    /// The layer that last hid what those below it had put here: there is nothing left for it to hide.
    var prunedBy = -1

    init(parent: Directory?) {
        self.parent = parent
        depth = (parent?.depth ?? -1) + 1
    }

    /// By name: what becomes free in a dictionary's order, which is another each time, would be used again in that order.
    var sortedChildren: [(key: [UInt8], value: Child)] {
        children.sorted { $0.key.isBytewiseBefore($1.key) }
    }

    func belongs(to node: Node) { self.node = node }
}
