import AgentCore
import Glibc
import NIOPosix
import SystemPackage

/// What a unit's process finds of the agent's files: its description, its output, and the files that it may open.
///
/// The process has another user than the agent, and both are in one group; what is handed over is readable or writable for
/// that group. Which of these files a VM can reach at all is decided by what is mounted: in place of the data directory it
/// has a directory of its own, in which the agent makes a hard link, under the same path, to each file that the VM may open.
struct UnitFiles: Sendable {
    /// The agent's.
    let dataDirectory: FilePath
    /// Of the VM; nil where a unit has no such files.
    let instance: InstanceID?

    /// Where those directories are.
    private static let mirrors = "vms"
    /// Where a VM makes files for the agent, in its directory and in what stands for the data directory.
    private static let written = ".written"

    /// What stands for the data directory in the unit.
    private var mirror: FilePath? {
        instance.map { dataDirectory.appending(Self.mirrors).appending($0.rawValue) }
    }

    // MARK: At the start

    /// Writes what `hypeman-exec` reads, and makes the output file and what else is needed, in the place of what an earlier
    /// start left.
    ///
    /// - Throws: ``AgentError`` `unavailable`.
    func prepare(_ specification: ProcessSpecification) async throws {
        try await run("what \(specification.executable) needs cannot be laid out") {
            try remove()
            let output = specification.outputFile
            let directory = output.removingLastComponent()
            let file = try FileDescriptor.open(
                output,
                .writeOnly,
                options: [.create, .append, .closeOnExec, .noFollow],
                permissions: [.ownerReadWrite]
            )
            try file.closeAfter { try Self.check(fchmod(file.rawValue, 0o660)) }
            if instance != nil {
                // The VM makes its sockets there, and can do nothing to the agent's files: the sticky bit.
                try Self.check(chmod(directory.string, 0o1770))
            } else {
                try Self.check(chmod(directory.string, 0o750))
            }
            try write(Self.description(of: specification), to: directory.appending("process"))
            if let mirror { try makeDirectories(to: mirror) }
            try specification.files.forEach(link)
        }
    }

    /// Lets the process open further files.
    func permit(_ files: [ProcessFile]) async throws {
        try await run("files cannot be handed to the VM") { try files.forEach(link) }
    }

    /// Takes files back.
    func forbid(_ files: [ProcessFile]) async throws {
        try await run("files cannot be taken back from the VM") {
            for file in files {
                guard let place = place(of: file) else { continue }
                if unlink(place.string) != 0, errno != ENOENT, errno != ENOTDIR { throw Errno(rawValue: errno) }
            }
        }
    }

    /// Has the VM make files, and moves them into a directory.
    ///
    /// They stay the VM's user's, who ends with it, and are the agent's to read, link and remove through their group.
    func collect(into directory: FilePath, _ body: @Sendable (FilePath) async throws -> Void) async throws {
        guard let outbox = mirror?.appending(Self.written) else { return try await body(directory) }
        try await run("the VM cannot be given a directory to write to") {
            try Self.removeTree(outbox)
            try Self.check(mkdir(outbox.string, 0o700))
            try Self.check(chmod(outbox.string, 0o770))
        }
        do {
            try await body(dataDirectory.appending(Self.written))
            try await run("what the VM wrote cannot be moved to \(directory)") { try move(from: outbox, to: directory) }
        } catch {
            await Task { try? await run("") { try Self.removeTree(outbox) } }.value
            throw error
        }
    }

    /// Takes away what was handed over, once the process has ended.
    func removeAll() async throws {
        try await run("what a VM was given is not taken back") { try remove() }
    }

    /// The VMs that something was handed to.
    static func instances(in dataDirectory: FilePath) async throws -> [InstanceID] {
        try await NIOThreadPool.singleton.runIfActive {
            guard let directory = opendir(dataDirectory.appending(mirrors).string) else { return [] }
            defer { closedir(directory) }
            var found: [InstanceID] = []
            while let name = next(in: directory) {
                if let instance = InstanceID(rawValue: name) { found.append(instance) }
            }
            return found
        }
    }

    /// The description's texts, each behind a letter and before a NUL (Sources/hypeman-exec).
    static func description(of specification: ProcessSpecification) throws -> [UInt8] {
        let texts =
            ["o\(specification.outputFile)", "d\(specification.workingDirectory)", "x\(specification.executable)"]
            + ([specification.executable.string] + specification.arguments).map { "a\($0)" }
            + specification.environment.sorted { $0.key < $1.key }.map { "e\($0.key)=\($0.value)" }
        guard !texts.contains(where: { $0.utf8.contains(0) }) else {
            throw AgentError(.invalidArgument, "an argument of \(specification.executable) has a NUL in it")
        }
        return texts.flatMap { Array($0.utf8) + [0] }
    }

    // MARK: Blocking

    private func link(_ file: ProcessFile) throws {
        guard let place = place(of: file) else { return }
        var status = stat()
        guard lstat(file.path.string, &status) == 0 else { throw Errno(rawValue: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw AgentError(.unavailable, "\(file.path) is no file that a VM can be given")
        }
        let bits: mode_t = file.isWritable ? 0o060 : 0o040
        // A file that others read already is not taken away from them.
        if status.st_mode & bits != bits { try Self.check(chmod(file.path.string, status.st_mode & 0o7777 | bits)) }
        try makeDirectories(to: place.removingLastComponent())
        var present = stat()
        if lstat(place.string, &present) == 0 {
            if present.st_ino == status.st_ino, present.st_dev == status.st_dev { return }
            // Of a file that was replaced since.
            try Self.check(unlink(place.string))
        }
        try Self.check(Glibc.link(file.path.string, place.string))
    }

    /// Where a VM has a file; nil for what is elsewhere, the system's, which is there for everybody.
    private func place(of file: ProcessFile) -> FilePath? {
        guard let mirror, file.path.starts(with: dataDirectory) else { return nil }
        var place = mirror
        place.append(file.path.components.dropFirst(dataDirectory.components.count))
        return place
    }

    /// What is moved is looked at where the VM cannot change it any more.
    private func move(from outbox: FilePath, to directory: FilePath) throws {
        for name in try Self.names(in: outbox) {
            let target = directory.appending(name)
            try Self.check(rename(outbox.appending(name).string, target.string))
            var status = stat()
            try Self.check(lstat(target.string, &status))
            guard status.st_mode & S_IFMT == S_IFREG else {
                try Self.removeTree(target)
                throw AgentError(.unavailable, "the VM made \(name), which is no file, in place of one")
            }
        }
        try Self.check(rmdir(outbox.string))
    }

    private func makeDirectories(to path: FilePath) throws {
        let vms = dataDirectory.appending(Self.mirrors)
        var next = dataDirectory
        for component in path.components.dropFirst(dataDirectory.components.count) {
            next.append(component)
            if mkdir(next.string, 0o700) == 0 {
                // The units' directory can be passed through by all, a VM's own by its group alone.
                try Self.check(chmod(next.string, next == vms ? 0o711 : 0o750))
            } else if errno != EEXIST {
                throw Errno(rawValue: errno)
            }
        }
    }

    private func write(_ bytes: [UInt8], to path: FilePath) throws {
        let file = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .truncate, .closeOnExec, .noFollow],
            permissions: [.ownerReadWrite]
        )
        try file.closeAfter {
            _ = try file.writeAll(bytes)
            try Self.check(fchmod(file.rawValue, 0o640))
        }
    }

    /// Removes the links, which lead to nothing that is the VM's alone.
    private func remove() throws {
        guard let mirror else { return }
        try Self.removeTree(mirror)
    }

    private static func removeTree(_ path: FilePath) throws {
        if unlink(path.string) == 0 || errno == ENOENT { return }
        guard errno == EISDIR || errno == EPERM else { throw Errno(rawValue: errno) }
        for name in try names(in: path) { try removeTree(path.appending(name)) }
        try check(rmdir(path.string))
    }

    private static func names(in path: FilePath) throws -> [String] {
        guard let directory = opendir(path.string) else { throw Errno(rawValue: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let name = next(in: directory) { names.append(name) }
        return names
    }

    /// The next name but those of the directory itself and the one above.
    private static func next(in directory: OpaquePointer) -> String? {
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { return name }
        }
        return nil
    }

    private static func check(_ result: Int32) throws {
        guard result == 0 else { throw Errno(rawValue: errno) }
    }

    private func run<Value: Sendable>(
        _ what: String,
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        do {
            return try await NIOThreadPool.singleton.runIfActive(body)
        } catch let error as Errno {
            throw AgentError(.unavailable, what, cause: error)
        }
    }
}
