import Tar

/// A directory as erofs keeps it: entries sorted by the bytes of their names, in blocks that each begin with the fixed
/// parts and end with the names.
///
/// The last block is cut where its names end.
struct DirectoryBlocks {
    struct Entry {
        var name: [UInt8]
        var node: Node
    }

    let entries: [Entry]
    let size: Int
    /// How many of the children are directories.
    let directories: Int

    /// - Parameters:
    ///   - directory: The directory.
    ///   - node: Its own node, for `.`; its parent's is `..`, and the root is its own parent.
    init(_ directory: Directory, node: Node) {
        var unsorted: [Entry] = []
        unsorted.reserveCapacity(directory.children.count + 2)
        for (name, child) in directory.children { unsorted.append(Entry(name: name, node: child.node)) }
        directories = unsorted.reduce(0) { $1.node.directory == nil ? $0 : $0 + 1 }
        unsorted.append(Entry(name: [46], node: node))
        unsorted.append(Entry(name: EntryPath.parent, node: directory.parent?.node ?? node))
        entries = Self.sorted(unsorted)
        var full = 0
        var used = 0
        for entry in entries {
            let needed = ErofsFormat.directoryEntrySize + entry.name.count
            if used + needed > ErofsFormat.blockSize {
                full += 1
                used = 0
            }
            used += needed
        }
        size = full * ErofsFormat.blockSize + used
    }

    /// In the order of their names.
    ///
    /// What is moved about is numbers, the first bytes of a name and its place: entries would have their references counted
    /// with each move.
    private static func sorted(_ entries: [Entry]) -> [Entry] {
        var order = entries.enumerated().map { place, entry in
            // A name has no NUL, so one that ends early is before those that go on.
            let start = (0..<8).reduce(into: UInt64(0)) { start, index in
                start = start << 8 | (index < entry.name.count ? UInt64(entry.name[index]) : 0)
            }
            return (start: start, place: place)
        }
        order.sort {
            $0.start == $1.start
                ? entries[$0.place].name.isBytewiseBefore(entries[$1.place].name) : $0.start < $1.start
        }
        return order.map { entries[$0.place] }
    }

    /// The blocks one after the other, all but the last padded; needs the numbers of the nodes.
    func forEachBlock(_ body: ([UInt8]) throws -> Void) throws {
        var rest = entries[...]
        while !rest.isEmpty {
            var used = 0
            let block = rest.prefix { entry in
                used += ErofsFormat.directoryEntrySize + entry.name.count
                return used <= ErofsFormat.blockSize
            }
            rest = rest[block.endIndex...]
            var encoder = ErofsEncoder()
            var nameOffset = block.count * ErofsFormat.directoryEntrySize
            for entry in block {
                encoder.append(entry.node.number)
                encoder.append(UInt16(nameOffset))
                encoder.append(entry.node.fileType.rawValue)
                encoder.append(UInt8(0))
                nameOffset += entry.name.count
            }
            for entry in block { encoder.append(entry.name) }
            if !rest.isEmpty { encoder.appendZeros(ErofsFormat.blockSize - encoder.bytes.count) }
            try body(encoder.bytes)
        }
    }
}
