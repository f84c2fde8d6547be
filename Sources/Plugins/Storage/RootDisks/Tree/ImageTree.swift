import AgentCore
import Tar

/// The files of an image while its layers are put one over the other, bottom first; or those of a volume, from one archive.
///
/// Nothing of it ever becomes a path of the host: names are looked up in this tree alone, symbolic links in it
/// included. Whiteouts apply to the layers below, wherever in their own layer they stand (OCI image-spec, layer.md).
final class ImageTree {
    /// What is put together.
    enum Subject: String {
        case image
        /// Without whiteouts: what looks like one is a file.
        case volume
    }

    /// As many symbolic links as Linux follows in one lookup.
    private static let maximumHops = 40

    let root: Node
    let rootDirectory = Directory(parent: nil)
    private let subject: Subject
    private let limits: ImageLimits
    private let release: (FileContents) -> Void
    private var layer = 0
    private var entries = 0
    private var metadata = 0
    /// Bytes that are not stored in archives and count nevertheless.
    private var holes = 0
    /// The way to the last entry's directory as the archive writes it, and where it led.
    ///
    /// Archives list files directory by directory, so that most ways need not be walked. Forgotten when anything goes
    /// that a way can lead through.
    private var recent: (path: [UInt8], directory: Directory)?

    /// - Parameters:
    ///   - subject: What is put together.
    ///   - limits: What it may ask of this host.
    ///   - release: Told about contents that no name leads to any more.
    init(_ subject: Subject = .image, limits: ImageLimits, release: @escaping (FileContents) -> Void) {
        self.subject = subject
        self.limits = limits
        self.release = release
        root = Node(.directory(rootDirectory), metadata: .implicitDirectory)
        root.links = 1
        rootDirectory.belongs(to: root)
    }

    /// Starts the next layer.
    func beginLayer(_ index: Int) { layer = index }

    /// Puts one entry of the current layer into the tree.
    ///
    /// - Parameters:
    ///   - entry: What the tar says.
    ///   - store: Takes in the contents of a file; asked at most once.
    /// - Throws: ``DecodingFailure`` if there is something wrong with the entry.
    func apply(_ entry: TarEntry, store: (Node.Metadata) throws -> FileContents) throws {
        try count(entry)
        let nameStart = EntryPath.ordinaryNameStart(in: entry.name)
        if let nameStart, let recent, entry.name[..<nameStart].elementsEqual(recent.path) {
            return try apply(entry, as: Array(entry.name[nameStart...]), in: recent.directory, store: store)
        }
        let components = try EntryPath.components(entry.name)
        guard let name = components.last else {
            guard entry.kind == .directory else { throw DecodingFailure("the root is not a directory") }
            root.update(try Node.Metadata(entry))
            return
        }
        if subject == .image, try applyMark(name, in: components.dropLast()) { return }
        // What looks like the mark of a whiteout was allowed to be longer by it.
        guard name.count <= EntryPath.maximumNameLength else {
            throw DecodingFailure("its name is \(name.count) bytes long")
        }
        guard let parent = try directory(components.dropLast(), of: entry, creating: true) else { return }
        if let nameStart { recent = (Array(entry.name[..<nameStart]), parent) }
        try apply(entry, as: name, in: parent, store: store)
    }

    private func apply(
        _ entry: TarEntry,
        as name: [UInt8],
        in parent: Directory,
        store: (Node.Metadata) throws -> FileContents
    ) throws {
        if entry.kind == .hardLink {
            try put(try target(of: entry), at: name, in: parent)
        } else if entry.kind == .directory, let existing = parent.children[name], existing.node.directory != nil {
            existing.node.update(try Node.Metadata(entry))
            parent.children[name]?.layer = layer
            touch(parent)
        } else {
            try put(try makeNode(entry, in: parent, store: store), at: name, in: parent)
        }
    }

    /// What has to be remembered of every entry is bounded as well as their number.
    private func count(_ entry: TarEntry? = nil) throws {
        if let entry {
            metadata += entry.name.count + entry.linkName.count
            // Whatever of it is replaced again: it costs time, and an archive next to nothing.
            if let sparse = entry.sparse {
                let (sum, isTooLarge) = holes.addingReportingOverflow(sparse.size - sparse.storedSize)
                guard !isTooLarge, sum <= limits.maximumSize.bytes else {
                    throw DecodingFailure(
                        "the holes of the \(subject.rawValue)'s files are larger than \(limits.maximumSize), which is the limit"
                    )
                }
                holes = sum
            }
            metadata += entry.attributes.reduce(0) { $0 + $1.name.count + $1.value.count }
            guard metadata <= limits.maximumMetadata.bytes else {
                throw DecodingFailure(
                    "the names and attributes of the \(subject.rawValue) are larger than \(limits.maximumMetadata), which "
                        + "is the limit"
                )
            }
        }
        entries += 1
        guard entries <= limits.maximumEntries else {
            throw DecodingFailure(
                "the \(subject.rawValue) has more than \(limits.maximumEntries) files, which is the limit"
            )
        }
    }

    private func makeNode(
        _ entry: TarEntry,
        in parent: Directory,
        store: (Node.Metadata) throws -> FileContents
    ) throws -> Node {
        var metadata = try Node.Metadata(entry)
        switch entry.kind {
        case .directory: return try makeDirectory(in: parent, metadata)
        case .file: return Node(.file(try store(metadata)), metadata: metadata)
        case .symbolicLink:
            guard (1...4095).contains(entry.linkName.count), !entry.linkName.contains(0) else {
                throw DecodingFailure("the target of the symbolic link is \(entry.linkName.count) bytes long")
            }
            // Linux knows no other mode for one, whatever the tar was written on.
            metadata.mode = 0o777
            return Node(.symbolicLink(entry.linkName), metadata: metadata)
        case .characterDevice, .blockDevice:
            return Node(
                .device(isBlock: entry.kind == .blockDevice, major: entry.deviceMajor, minor: entry.deviceMinor),
                metadata: metadata
            )
        case .fifo, .hardLink: return Node(.fifo, metadata: metadata)
        }
    }

    private func makeDirectory(in parent: Directory, _ metadata: Node.Metadata) throws -> Node {
        let directory = Directory(parent: parent)
        guard directory.depth <= limits.maximumDepth else {
            throw DecodingFailure("directories are nested more than \(limits.maximumDepth) deep, which is the limit")
        }
        let node = Node(.directory(directory), metadata: metadata)
        directory.belongs(to: node)
        return node
    }

    private func put(_ node: Node, at name: [UInt8], in parent: Directory) throws {
        // Counted first: the new link may be to something below what it replaces.
        node.links += 1
        let child = Directory.Child(node: node, layer: layer)
        if let existing = parent.children.updateValue(child, forKey: name) { remove(existing.node) }
        touch(parent)
    }

    private func touch(_ directory: Directory) {
        var current: Directory? = directory
        // What is marked has marked parents.
        while let marked = current, marked.touchedBy != layer {
            marked.touchedBy = layer
            current = marked.parent
        }
    }

    private func target(of entry: TarEntry) throws -> Node {
        let components = try EntryPath.linkTarget(entry.linkName)
        guard let name = components.last,
            let parent = try directory(components.dropLast(), of: entry, creating: false),
            let child = parent.children[name]
        else { throw DecodingFailure("the hard link's target \(TarEntry.printable(entry.linkName)) does not exist") }
        guard child.node.directory == nil else {
            throw DecodingFailure("the hard link's target \(TarEntry.printable(entry.linkName)) is a directory")
        }
        return child.node
    }

    /// Walks to a directory, through symbolic links as the kernel would inside of the image.
    ///
    /// - Returns: Nil if it is not there and `creating` is false.
    private func directory(_ path: ArraySlice<[UInt8]>, of entry: TarEntry?, creating: Bool) throws -> Directory? {
        var current = rootDirectory
        var pending = Array(path.reversed())
        var hops = 0
        while let name = pending.popLast() {
            if name == EntryPath.parent {
                guard let parent = current.parent else {
                    throw DecodingFailure("a symbolic link on the way to it leads out of the \(subject.rawValue)")
                }
                current = parent
                continue
            }
            guard let child = current.children[name] else {
                guard creating else { return nil }
                // Only the entry's own name was checked; this one may come from a symbolic link.
                guard name.count <= EntryPath.maximumNameLength,
                    subject == .volume || !name.starts(with: EntryPath.whiteoutPrefix)
                else {
                    throw DecodingFailure("\(TarEntry.printable(name)) on the way to it cannot be a directory's name")
                }
                try count()
                let node = try makeDirectory(in: current, .implicitDirectory)
                node.links = 1
                current.children[name] = Directory.Child(node: node, layer: -1)
                touch(current)
                if let directory = node.directory { current = directory }
                continue
            }
            switch child.node.payload {
            case .directory(let directory): current = directory
            case .symbolicLink(let target):
                hops += 1
                guard hops <= Self.maximumHops else {
                    throw DecodingFailure("there is a loop of symbolic links on the way to it")
                }
                if target.first == 47 { current = rootDirectory }
                pending += target.split(separator: 47).filter { !$0.elementsEqual([46]) }.map(Array.init).reversed()
            default:
                guard creating else { return nil }
                throw DecodingFailure("\(TarEntry.printable(name)) on the way to it is not a directory")
            }
        }
        return current
    }
}

// MARK: Whiteouts

extension ImageTree {
    /// Carries out a whiteout or an opaque mark; false if `name` is neither.
    private func applyMark(_ name: [UInt8], in path: ArraySlice<[UInt8]>) throws -> Bool {
        if path.contains(where: { $0.starts(with: EntryPath.whiteoutPrefix) }) {
            // AUFS kept its own records in `.wh..wh.plnk` and the like; anything else is no layer.
            guard path.contains(where: { $0.starts(with: EntryPath.reservedPrefix) }) else {
                throw DecodingFailure("it lies below a whiteout")
            }
            return true
        }
        guard name.starts(with: EntryPath.whiteoutPrefix) else { return false }
        if name == EntryPath.opaqueMark {
            if let directory = try directory(path, of: nil, creating: false) { prune(directory) }
            return true
        }
        if name.starts(with: EntryPath.reservedPrefix) { return true }
        let hidden = Array(name.dropFirst(EntryPath.whiteoutPrefix.count))
        guard !hidden.isEmpty, hidden != [46], hidden != EntryPath.parent else {
            throw DecodingFailure("the whiteout names nothing")
        }
        if let parent = try directory(path, of: nil, creating: false), let child = parent.children[hidden] {
            hide(child, named: hidden, in: parent)
        }
        return true
    }

    /// Takes away what lower layers put at a name; what this layer put there or below stays.
    private func hide(_ child: Directory.Child, named name: [UInt8], in parent: Directory) {
        if let directory = child.node.directory, directory.touchedBy == layer || child.layer == layer {
            prune(directory)
            if child.layer != layer {
                child.node.update(.implicitDirectory)
                parent.children[name]?.layer = -1
            }
        } else if child.layer != layer {
            remove(child.node)
            parent.children[name] = nil
        }
    }

    /// Once a layer, or a hostile one that repeats itself would have every name looked at each time.
    private func prune(_ directory: Directory) {
        guard directory.prunedBy != layer else { return }
        directory.prunedBy = layer
        for (name, child) in directory.sortedChildren { hide(child, named: name, in: directory) }
    }

    /// Takes one name from a node, and all of a directory's.
    private func remove(_ node: Node) {
        node.links -= 1
        if case .file = node.payload {} else { recent = nil }
        switch node.payload {
        case .directory(let directory):
            for (_, child) in directory.sortedChildren { remove(child.node) }
            directory.children = [:]
        case .file(let contents) where node.links == 0: release(contents)
        default: break
        }
    }
}
