import AgentCore
import CExt4
import Glibc
import SystemPackage
import Tar

/// Fills an ext4 that mkfs.ext4 has just made with a tree, without mounting it: file contents while the archive is read,
/// everything else at the end.
final class Ext4Writer {
    /// A multiple of every block size.
    private static let bufferSize = 1 << 20
    /// EXT4_LINK_MAX.
    private static let maximumLinks = 65_000

    private let volume: OpaquePointer
    private let cancellation: Cancellation
    private let blockSize: Int
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Ext4Writer.bufferSize, alignment: 4096)
    private var isOpen = true

    /// - Parameters:
    ///   - path: The file system, which nobody else has open.
    ///   - cancellation: Looked at often.
    /// - Throws: ``AgentError`` if libext2fs cannot open it.
    init(_ path: FilePath, cancellation: Cancellation) throws {
        var opened: OpaquePointer?
        try Self.check(ext4_open(path.string, &opened), "cannot open \(path)")
        guard let opened else { throw AgentError(.internal, code: "storage_error", "cannot open \(path)") }
        volume = opened
        self.cancellation = cancellation
        blockSize = Int(ext4_block_size(opened))
        try Self.check(ext4_clear_root(opened), "cannot empty \(path)")
    }

    deinit {
        buffer.deallocate()
        if isOpen { ext4_abandon(volume) }
    }

    // MARK: Contents

    /// Takes in the contents of a file.
    func store(_ file: EntryContents) throws -> FileContents {
        let size = file.size
        try cancellation.check()
        var inode: UInt32 = 0
        try check(ext4_make_file(volume, UInt64(size), &inode))
        var (block, filled) = (0, 0)
        while true {
            let piece = try file.next()
            if piece.isEmpty { break }
            var rest = piece[...]
            while !rest.isEmpty {
                let part = rest.prefix(buffer.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: part)
                )
                filled += part.count
                rest = rest.dropFirst(part.count)
                guard filled == buffer.count else { continue }
                try write(inode, at: block, blocks: filled / blockSize)
                block += filled / blockSize
                filled = 0
            }
        }
        if filled > 0 {
            let blocks = (filled + blockSize - 1) / blockSize
            UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(blocks * blockSize)]).initializeMemory(
                as: UInt8.self,
                repeating: 0
            )
            try write(inode, at: block, blocks: blocks)
        }
        return FileContents(size: size, start: Int(inode))
    }

    /// Gives back what was taken in and is not wanted any more.
    func release(_ contents: FileContents) throws { try check(ext4_release(volume, UInt32(contents.start))) }

    private func write(_ inode: UInt32, at block: Int, blocks: Int) throws {
        try cancellation.check()
        try check(ext4_write(volume, inode, UInt64(block), buffer.baseAddress, UInt32(blocks)))
    }

    // MARK: The tree

    /// Writes directories, links and devices, and what is known of every file; closes the file system.
    func finish(_ tree: ImageTree) throws {
        let root = ext4_root()
        tree.root.number = UInt64(root)
        try describe(tree.root, links: Self.links(of: tree.rootDirectory))
        try write(tree.rootDirectory, root, parent: root)
        isOpen = false
        try check(ext4_close(volume))
    }

    private func write(_ directory: Directory, _ number: UInt32, parent: UInt32) throws {
        try cancellation.check()
        let children = directory.sortedChildren
        for (_, child) in children { try make(child.node) }
        guard let names = ext4_directory_begin(volume, number, parent) else {
            throw AgentError(.internal, code: "storage_error", "there is no memory for a directory")
        }
        for (name, child) in children {
            let type = UInt16(Self.type(of: child.node))
            // An error is remembered, and comes with the end.
            _ = ext4_directory_add(names, name, name.count, UInt32(child.node.number), type)
        }
        try check(ext4_directory_end(names))
        for (_, child) in children {
            if let below = child.node.directory { try write(below, UInt32(child.node.number), parent: number) }
        }
    }

    /// Makes the inode of a node that has none yet: one can have several names.
    private func make(_ node: Node) throws {
        guard node.number == 0 else { return }
        var number: UInt32 = 0
        let type = UInt16(Self.type(of: node))
        switch node.payload {
        case .file(let contents): number = UInt32(contents.start)
        case .directory: try check(ext4_make(volume, type, &number))
        case .fifo: try check(ext4_make(volume, type, &number))
        case .symbolicLink(let target): try check(ext4_make_link(volume, target, target.count, &number))
        case .device(_, let major, let minor): try check(ext4_make_device(volume, type, major, minor, &number))
        }
        node.number = UInt64(number)
        guard node.directory != nil || node.links <= Self.maximumLinks else {
            throw DecodingFailure("a file has \(node.links) names, and ext4 allows \(Self.maximumLinks)")
        }
        try describe(node, links: node.directory.map(Self.links) ?? node.links)
    }

    private func describe(_ node: Node, links: Int) throws {
        var metadata = ext4_metadata(
            mode: node.mode & 0o7777,
            owner: node.owner,
            group: node.group,
            seconds: node.modified.seconds,
            nanoseconds: node.modified.nanoseconds,
            links: UInt32(clamping: links)
        )
        let number = UInt32(node.number)
        try check(ext4_describe(volume, number, &metadata))
        for attribute in node.attributes {
            let name = attribute.fullName.map { CChar(bitPattern: $0) } + [0]
            try check(ext4_set_attribute(volume, number, name, attribute.value, attribute.value.count))
        }
    }

    /// A directory is linked by its parent, by itself, and by each directory in it.
    private static func links(of directory: Directory) -> Int {
        2 + directory.children.values.count { $0.node.directory != nil }
    }

    private static func type(of node: Node) -> mode_t {
        switch node.payload {
        case .directory: S_IFDIR
        case .file: S_IFREG
        case .symbolicLink: S_IFLNK
        case .device(let isBlock, _, _): isBlock ? S_IFBLK : S_IFCHR
        case .fifo: S_IFIFO
        }
    }

    private func check(_ error: Int) throws { try Self.check(error, "cannot write to it") }

    private static func check(_ error: Int, _ what: String) throws {
        guard error != 0 else { return }
        switch ext4_problem_of(error) {
        case EXT4_PROBLEM_NO_BLOCK: throw Ext4Full(what: "its contents")
        case EXT4_PROBLEM_NO_INODE: throw Ext4Full(what: "the number of its files")
        case EXT4_PROBLEM_ATTRIBUTES: throw DecodingFailure("the extended attributes are too large for ext4")
        case EXT4_PROBLEM_TARGET: throw DecodingFailure("the target of the symbolic link is longer than a block")
        case EXT4_PROBLEM_HOST: throw Files.error(.noSpace, what)
        default:
            if error < 4096 { throw Files.error(Errno(rawValue: CInt(error)), what) }
            throw AgentError(
                .internal,
                code: "storage_error",
                "\(what): \(String(cString: ext4_message(error)))"
            )
        }
    }
}

/// What is to go into a volume does not fit.
struct Ext4Full: Error {
    /// What there is too much of.
    var what: String
}
