import CLinux
import Glibc
public import Tar

/// Unpacks a tar archive below a directory, and nowhere else.
///
/// The archive is distrusted: names with `..` are refused, an absolute name counts from the directory, and the kernel
/// resolves every path so that a symbolic link on the way, whoever made it, leads nowhere outside (openat2(2)). What is
/// there is never written to: files and links are made under a name of their own, and renamed when they are whole, so
/// that a copy that ends early leaves the files before as they are and no half of one. Directories keep what is in them.
public final class TreeExtractor {
    /// What is taken over, and what is made.
    public struct Options: Sendable {
        /// Whether files get the owners that the archive says, and directories that are there already all attributes.
        ///
        /// Otherwise files belong to whoever unpacks.
        public var keepsOwners = false
        /// Whether to keep what gives rights to whoever runs a file, or is for root alone: setuid and setgid bits, and
        /// the attributes `security.*` and `trusted.*`.
        public var keepsPrivileges = false
        /// Whether to make device nodes; they are left out otherwise, with a warning.
        public var makesDevices = false
        /// The one name that everything must be below, as nothing else was asked for; nil: any.
        public var onlyBelow: [UInt8]?

        public init() {}
    }

    /// What was unpacked.
    public struct Summary: Sendable, Hashable {
        /// Files, directories, links and nodes.
        public var members = 0
        /// Bytes of contents, holes not counted.
        public var bytes = 0
        /// What was left out.
        public var warnings = TreeWarnings()

        public init() {}
    }

    let place: ExtractionPlace
    let options: Options
    var summary = Summary()
    private var directories = PendingDirectories()

    /// Opens where to unpack.
    ///
    /// - Parameters:
    ///   - path: A directory, or a symbolic link to one.
    ///   - options: What to take over.
    /// - Throws: ``TreeFailure`` if there is no such directory.
    public init(into path: String, _ options: Options = Options()) throws(TreeFailure) {
        place = try ExtractionPlace(path)
        self.options = options
    }

    /// Unpacks a whole archive.
    ///
    /// - Parameter source: Its bytes, which are read to their end.
    /// - Returns: What was unpacked.
    /// - Throws: ``TreeFailure``, or what the source throws; what was unpacked before stays.
    public func extract(_ source: any ChunkSource) throws -> Summary {
        let reader = TarReader(source, takesSparseFiles: true)
        var current: TarEntry?
        do {
            while let entry = try reader.next() {
                current = entry
                try extract(entry, reader)
            }
            current = nil
            guard reader.hasEndMark else {
                throw DecodingFailure(
                    reader.position == 0 ? "it is empty, and no tar archive" : "it is cut off: its end is missing"
                )
            }
            try reader.drain()
        } catch let failure as DecodingFailure {
            let entry = current.map { " at \($0.printableName)" } ?? ""
            throw TreeFailure(.damaged, path: current?.name.text ?? "", "the archive is damaged\(entry): \(failure)")
        }
        try directories.applyAll(in: place)
        return summary
    }

    /// Writes a single file whose contents are all that a source has.
    ///
    /// - Parameters:
    ///   - entry: What it is called and whose it is; of its size nothing is known.
    ///   - source: Its contents, which are read to their end.
    /// - Returns: What was written.
    /// - Throws: ``TreeFailure``, or what the source throws; nothing is left of the file then.
    public func write(_ entry: TarEntry, contents source: any ChunkSource) throws -> Summary {
        do {
            try extract(entry, WholeSource(source))
            try directories.applyAll(in: place)
        } catch let failure as DecodingFailure {
            throw TreeFailure(.damaged, path: entry.name.text, "\(failure)")
        }
        return summary
    }

    private func extract(_ entry: TarEntry, _ reader: any FileContents) throws {
        let components = try EntryPath.linkTarget(entry.name)
        if let only = options.onlyBelow, components.first != only {
            throw TreeFailure(
                .outside,
                path: entry.name.text,
                "the archive has \(entry.printableName), which was not asked for"
            )
        }
        guard let name = components.last else {
            // The directory itself, which was there before.
            guard entry.kind == .directory else {
                throw DecodingFailure("the name \(entry.printableName) is no name for a file")
            }
            return
        }
        let parents = components.dropLast()
        let parent = try place.directory(parents)
        let target = Target(parent: parent, name: name, components: components, path: place.describe(components))
        let existing = try target.status()
        if entry.kind == .directory {
            try makeDirectory(entry, target, existing)
        } else {
            if let existing, existing.st_mode & S_IFMT == S_IFDIR {
                throw TreeFailure(
                    .isDirectory,
                    path: target.path,
                    "cannot put a file in the place of the directory \(TreeFailure.quoted(target.path))"
                )
            }
            guard try make(entry, target, reader) else { return }
        }
        summary.members += 1
    }

    /// A name in a directory that was found below the place.
    struct Target {
        var parent: Int32
        var name: [UInt8]
        var components: [[UInt8]]
        /// For messages.
        var path: String

        func status() throws(TreeFailure) -> stat? {
            var status = stat()
            if name.withName({ fstatat(parent, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 { return status }
            if errno == ENOENT { return nil }
            throw TreeFailure(errno: errno, "cannot look at", path)
        }
    }

    private func makeDirectory(_ entry: TarEntry, _ target: Target, _ existing: stat?) throws {
        if let existing {
            switch existing.st_mode & S_IFMT {
            case S_IFDIR: break
            case S_IFLNK where try place.leadsToDirectory(target.components): return
            default:
                throw TreeFailure(
                    .notDirectory,
                    path: target.path,
                    "cannot put a directory in the place of \(TreeFailure.quoted(target.path)), which is none"
                )
            }
            // As cp(1) does: what is there keeps its owner, rights and time unless they are copied with it.
            guard options.keepsOwners else { return }
        } else {
            // Nobody else looks in before it is done; its own rights follow at the end, they may forbid writing.
            guard target.name.withName({ mkdirat(target.parent, $0, 0o700) }) == 0 else {
                throw TreeFailure(errno: errno, "cannot make the directory", target.path)
            }
        }
        try setOwner(entry, target.parent, target.name, target.path)
        try setAttributes(entry, target.parent, target.name, target.path)
        directories.add(
            PendingDirectories.Directory(
                components: target.components,
                mode: mode(of: entry),
                modified: entry.modified
            )
        )
        try directories.applyOldest(in: place, besides: target.components)
    }

    func mode(of entry: TarEntry) -> mode_t {
        mode_t(options.keepsPrivileges ? entry.mode : entry.mode & 0o1777)
    }

    func setOwner(_ entry: TarEntry, _ directory: Int32, _ name: [UInt8], _ path: String) throws(TreeFailure) {
        guard options.keepsOwners else { return }
        let result = name.withName { fchownat(directory, $0, entry.owner, entry.group, AT_SYMLINK_NOFOLLOW) }
        guard result == 0 else {
            throw TreeFailure(errno: errno, "cannot give to \(entry.owner):\(entry.group)", path)
        }
    }

    /// After the owner: a change of that takes capabilities away.
    func setAttributes(_ entry: TarEntry, _ directory: Int32, _ name: [UInt8], _ path: String) throws(TreeFailure) {
        for attribute in entry.attributes where FileAttributes.isCopied(attribute.name) {
            if !options.keepsPrivileges, FileAttributes.isPrivileged(attribute.name) { continue }
            let place = descriptorPath(directory, name)
            let result = place.withName { place in
                attribute.name.withName { name in
                    attribute.value.withUnsafeBytes { clinux_set_attribute(place, name, $0.baseAddress, $0.count) }
                }
            }
            guard result != 0 else { continue }
            // A file system that has none, or an attribute of another system's.
            guard errno == EOPNOTSUPP || errno == EPERM && entry.kind != .file && entry.kind != .directory else {
                throw TreeFailure(
                    errno: errno,
                    "cannot set the attribute \(TarEntry.printable(attribute.name)) of",
                    path
                )
            }
            summary.warnings.add(
                "\(TreeFailure.quoted(path)): the attribute \(TarEntry.printable(attribute.name)) cannot be kept here"
            )
        }
    }
}
