import CLinux
import Glibc
import Tar

/// Writes a file or directory as a tar archive: PAX, with modes, numeric owners, times to the nanosecond, hard links,
/// holes and extended attributes.
///
/// Memory is bounded: directories are read as they come, and what is held is a chunk, the directories on the way to the
/// present one, and the names of files with several.
public final class TreeArchiver {
    /// Bytes of one chunk.
    private static let chunkSize = 128 << 10
    /// Bytes of names of files with several; those beyond are stored once for each name.
    private static let linkLimit = 16 << 20

    private struct Inode: Hashable {
        var device: UInt64
        var number: UInt64
    }

    private struct Frame {
        var stream: OpaquePointer
        var descriptor: Int32
        /// Its name in the archive, with a slash at its end.
        var name: [UInt8]
        /// Its own, without a slash unless it is the root.
        var path: String
        var device: UInt64
    }

    private let wholeFiles: Bool
    private let staysOnFileSystem: Bool
    private let leftOut: Set<String>
    private let sink: ([UInt8]) throws -> Void
    private var chunk: [UInt8] = []
    private var frames: [Frame] = []
    private var firstNames: [Inode: [UInt8]] = [:]
    private var linkBytes = 0
    private var generated = GeneratedFiles()
    /// What was left out: sockets, files that vanished, the contents of the kernel's own file systems.
    public private(set) var warnings = TreeWarnings()

    /// - Parameters:
    ///   - wholeFiles: Whether every name of a file gets all of its contents: no hard links, and holes as zeros.
    ///   - staysOnFileSystem: Whether what is mounted below is left out, but for the directory that it is mounted on.
    ///   - leftOut: Paths that are left out as if they were not there.
    ///   - sink: Given the archive, chunk by chunk; may block, and ends the work by throwing.
    public init(
        wholeFiles: Bool = false,
        staysOnFileSystem: Bool = false,
        leavingOut leftOut: Set<String> = [],
        _ sink: @escaping ([UInt8]) throws -> Void
    ) {
        self.wholeFiles = wholeFiles
        self.staysOnFileSystem = staysOnFileSystem
        self.leftOut = leftOut
        self.sink = sink
    }

    deinit { for frame in frames { closedir(frame.stream) } }

    /// Writes the whole archive of a path.
    ///
    /// - Parameters:
    ///   - path: What to archive; a directory with `/.` at its end stands for what is in it.
    ///   - followsLink: Whether `path` may be a symbolic link that stands for its target; those below it stay links.
    ///   - name: What it is called in the archive; nil is its own name, and `.` with `/.` at the end of `path`.
    /// - Throws: ``TreeFailure``, or what the sink throws.
    public func archive(_ path: String, followsLink: Bool = false, as name: String? = nil) throws {
        let source = try SourcePath(path, followsLink: followsLink)
        let root = clinux_open_place(AT_FDCWD, source.directory, 1)
        guard root >= 0 else { throw TreeFailure(errno: errno, "cannot open", source.directory) }
        defer { close(root) }
        let base = name.map { Array($0.utf8) } ?? source.name
        guard let status = try self.status(root, source.base, path) else {
            throw TreeFailure(errno: ENOENT, "cannot copy", path)
        }
        if source.mustBeDirectory, status.st_mode & S_IFMT != S_IFDIR {
            throw TreeFailure(errno: ENOTDIR, "cannot copy", path)
        }
        try add(root, source.base, as: base, path: path, status, parent: nil)
        while let frame = frames.last {
            errno = 0
            guard let entry = readdir(frame.stream) else {
                let error = errno
                guard error == 0 else { throw TreeFailure(errno: error, "cannot read the directory", frame.path) }
                closedir(frame.stream)
                frames.removeLast()
                continue
            }
            let own = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                    UnsafeBufferPointer(start: name, count: strnlen(name, 255)).map { UInt8(bitPattern: $0) }
                }
            }
            if own == [46] || own == [46, 46] { continue }
            let path = (frame.path.hasSuffix("/") ? frame.path : frame.path + "/") + own.text
            if leftOut.contains(path) { continue }
            guard let status = try self.status(frame.descriptor, own, path) else {
                warnings.add("\(TreeFailure.quoted(path)) vanished while it was to be copied")
                continue
            }
            try add(frame.descriptor, own, as: frame.name + own, path: path, status, parent: frame.device)
        }
        try write(TarMember.end)
        if !chunk.isEmpty { try sink(chunk) }
        chunk = []
    }

    private func status(_ directory: Int32, _ name: [UInt8], _ path: String) throws -> stat? {
        var status = stat()
        guard name.withName({ fstatat(directory, $0, &status, AT_SYMLINK_NOFOLLOW) }) != 0 else { return status }
        if errno == ENOENT { return nil }
        throw TreeFailure(errno: errno, "cannot look at", path)
    }

    private func add(
        _ directory: Int32,
        _ own: [UInt8],
        as name: [UInt8],
        path: String,
        _ status: stat,
        parent: UInt64?
    ) throws {
        var member = TarMember(name)
        member.mode = UInt16(truncatingIfNeeded: status.st_mode & 0o7777)
        member.owner = status.st_uid
        member.group = status.st_gid
        member.modified = FileTime(
            seconds: Int64(status.st_mtim.tv_sec),
            nanoseconds: UInt32(truncatingIfNeeded: status.st_mtim.tv_nsec)
        )
        let type = status.st_mode & S_IFMT
        if type != S_IFDIR, type != S_IFSOCK, try addLink(member, status) { return }
        switch type {
        case S_IFDIR:
            member.kind = .directory
            member.name.append(47)
            try enter(directory, own, member, path, status, parent)
        case S_IFREG:
            try addFile(directory, own, member, path)
        case S_IFLNK:
            member.kind = .symbolicLink
            guard let target = try target(directory, own, path) else { return }
            member.linkName = target
            try add(member, directory, own, path)
        case S_IFCHR, S_IFBLK:
            member.kind = type == S_IFCHR ? .characterDevice : .blockDevice
            member.device = (clinux_major(UInt64(status.st_rdev)), clinux_minor(UInt64(status.st_rdev)))
            try add(member, directory, own, path)
        case S_IFIFO:
            member.kind = .fifo
            try add(member, directory, own, path)
        default:
            warnings.add("\(TreeFailure.quoted(path)) is a socket, which archives do not hold")
        }
    }

    /// Writes a name of a file that was written under another one before.
    private func addLink(_ member: TarMember, _ status: stat) throws -> Bool {
        guard status.st_nlink > 1, !wholeFiles else { return false }
        let inode = Inode(device: UInt64(status.st_dev), number: UInt64(status.st_ino))
        if let first = firstNames[inode] {
            var link = member
            (link.kind, link.linkName) = (.hardLink, first)
            try write(link.header)
            return true
        }
        if linkBytes < Self.linkLimit {
            firstNames[inode] = member.name
            linkBytes += member.name.count + 64
        }
        return false
    }

    private func add(_ member: TarMember, _ directory: Int32, _ own: [UInt8], _ path: String) throws {
        var member = member
        member.attributes = try FileAttributes.read(directory, own, path: path)
        try write(member.header)
    }

    private func enter(
        _ directory: Int32,
        _ own: [UInt8],
        _ member: TarMember,
        _ path: String,
        _ status: stat,
        _ parent: UInt64?
    ) throws {
        let descriptor = own.withName { clinux_open_at(directory, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW) }
        guard descriptor >= 0 else { throw TreeFailure(errno: errno, "cannot open the directory", path) }
        try add(member, directory, own, path)
        let device = UInt64(status.st_dev)
        if let parent, parent != device, staysOnFileSystem || GeneratedFiles.areBehind(descriptor) {
            close(descriptor)
            // Who wants one file system alone misses nothing.
            guard !staysOnFileSystem else { return }
            warnings.add("\(TreeFailure.quoted(path)) is a file system of the kernel's, whose contents are not copied")
            return
        }
        guard let stream = fdopendir(descriptor) else {
            let error = errno
            close(descriptor)
            throw TreeFailure(errno: error, "cannot open the directory", path)
        }
        frames.append(
            Frame(stream: stream, descriptor: descriptor, name: member.name, path: path, device: device)
        )
    }

    private func target(_ directory: Int32, _ own: [UInt8], _ path: String) throws -> [UInt8]? {
        if let target = linkTarget(directory, own) { return target }
        if errno == ENOENT { return nil }
        throw TreeFailure(errno: errno, "cannot read the link", path)
    }

    // MARK: Files

    private func addFile(_ directory: Int32, _ own: [UInt8], _ member: TarMember, _ path: String) throws {
        let descriptor = own.withName { clinux_open_at(directory, $0, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) }
        guard descriptor >= 0 else {
            guard errno != ENOENT else {
                return warnings.add("\(TreeFailure.quoted(path)) vanished while it was to be copied")
            }
            throw TreeFailure(errno: errno, "cannot open", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw TreeFailure(.changed, path: path, "\(TreeFailure.quoted(path)) became another file while it was read")
        }
        var member = member
        member.attributes = try FileAttributes.read(directory, own, path: path)
        if let contents = try generated.contents(of: descriptor, status, path) {
            member.size = contents.count
            try write(member.header)
            try write(contents)
            return try write([UInt8](repeating: 0, count: TarMember.padding(after: contents.count)))
        }
        member.size = Int(status.st_size)
        let map = wholeFiles ? nil : try FileHoles.map(of: descriptor, status, path)
        if let map {
            member.sparse = map
            member.size = map.storedSize
        }
        try write(member.header)
        for extent in map?.extents ?? [SparseMap.Extent(offset: 0, count: member.size)] {
            try copy(descriptor, extent, path)
        }
        try write([UInt8](repeating: 0, count: TarMember.padding(after: member.size)))
    }

    private func copy(_ descriptor: Int32, _ extent: SparseMap.Extent, _ path: String) throws {
        var (offset, left) = (extent.offset, extent.count)
        while left > 0 {
            let wanted = min(left, Self.chunkSize - chunk.count)
            let (read, error) = readMore(descriptor, offset, wanted)
            if error == EINTR { continue }
            guard error == 0 else { throw TreeFailure(errno: error, "cannot read", path) }
            guard read > 0 else {
                throw TreeFailure(
                    .changed,
                    path: path,
                    "\(TreeFailure.quoted(path)) became shorter while it was read; try again when nobody writes to it"
                )
            }
            offset += read
            left -= read
            try sendIfFull()
        }
    }

    /// Reads into the chunk.
    private func readMore(_ descriptor: Int32, _ offset: Int, _ wanted: Int) -> (count: Int, error: Int32) {
        let start = chunk.count
        chunk.append(contentsOf: repeatElement(0, count: wanted))
        let read = chunk.withUnsafeMutableBytes { bytes in
            pread(descriptor, bytes.baseAddress?.advanced(by: start), wanted, off_t(offset))
        }
        let error = read < 0 ? errno : 0
        chunk.removeLast(wanted - max(0, read))
        return (max(0, read), error)
    }

    private func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.chunkSize - chunk.count)
            chunk.append(contentsOf: piece)
            rest = rest.dropFirst(piece.count)
            try sendIfFull()
        }
    }

    private func sendIfFull() throws {
        guard chunk.count >= Self.chunkSize else { return }
        let full = chunk
        chunk = []
        chunk.reserveCapacity(Self.chunkSize)
        try sink(full)
    }
}
