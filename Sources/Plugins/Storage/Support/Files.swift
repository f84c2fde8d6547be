import AgentCore
import Glibc
import SystemPackage

/// File work with errors that say which path, and `storageFull` told apart.
enum Files {
    static func error(_ errno: Errno, _ what: String) -> AgentError {
        switch errno {
        case .noSpace, .diskQuotaExceeded:
            AgentError(.storageFull, "\(what): the host's disk is full; free some space and try again", cause: errno)
        default:
            AgentError(.internal, code: "storage_error", what, cause: errno)
        }
    }

    /// Runs `body` and translates an `Errno`.
    static func translating<T>(_ what: @autoclosure () -> String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let errno as Errno {
            throw error(errno, what())
        }
    }

    /// Throws the current `errno` if `result` is negative.
    static func check(_ result: some SignedInteger) throws {
        guard result >= 0 else { throw Errno(rawValue: errno) }
    }

    static func makeDirectory(_ path: FilePath, permissions: mode_t = 0o700) throws {
        try translating("cannot make directory \(path)") {
            if mkdir(path.string, permissions) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
        }
    }

    static func status(_ path: FilePath) throws -> stat? {
        var status = stat()
        guard lstat(path.string, &status) != 0 else { return status }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw error(Errno(rawValue: errno), "cannot look at \(path)")
    }

    /// The bytes of the host's disk that a file takes, holes left out; 0 if it is not there.
    static func allocated(_ path: FilePath) throws -> Int {
        // st_blocks counts 512 bytes whatever the file system's blocks are (stat(2)).
        try status(path).map { Int($0.st_blocks) * 512 } ?? 0
    }

    /// Removes a file; true if it was there.
    @discardableResult
    static func remove(_ path: FilePath) throws -> Bool {
        guard unlink(path.string) != 0 else { return true }
        if errno == ENOENT { return false }
        throw error(Errno(rawValue: errno), "cannot remove \(path)")
    }

    /// The names in a directory, sorted; none if it is not there.
    static func names(in directory: FilePath) throws -> [String] {
        guard let stream = opendir(directory.string) else {
            if errno == ENOENT { return [] }
            throw error(Errno(rawValue: errno), "cannot read directory \(directory)")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes what was written to a file durable.
    static func sync(_ path: FilePath) throws {
        try translating("cannot sync \(path)") {
            let descriptor = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            try descriptor.closeAfter { try check(fsync(descriptor.rawValue)) }
        }
    }

    /// Makes a rename or removal in `directory` durable.
    static func syncDirectory(_ directory: FilePath) throws {
        try translating("cannot sync directory \(directory)") {
            let descriptor = try FileDescriptor.open(directory, .readOnly, options: [.directory, .closeOnExec])
            try descriptor.closeAfter { try check(fsync(descriptor.rawValue)) }
        }
    }

    /// Renames within one file system and makes it durable.
    static func rename(_ from: FilePath, to destination: FilePath) throws {
        try translating("cannot move \(from) to \(destination)") {
            try check(Glibc.rename(from.string, destination.string))
        }
        try syncDirectory(destination.removingLastComponent())
    }

    /// A file's contents, at most `limit` bytes; nil if there is no file.
    static func contents(_ path: FilePath, limit: Int) throws -> [UInt8]? {
        do {
            let descriptor = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            return try descriptor.closeAfter {
                let size = try descriptor.seek(offset: 0, from: .end)
                guard size <= limit else {
                    throw AgentError(.invalidArgument, "\(path) is \(size) bytes long, \(limit) are allowed")
                }
                return try Array(unsafeUninitializedCapacity: Int(size)) { buffer, count in
                    let raw = UnsafeMutableRawBufferPointer(buffer)
                    while count < raw.count {
                        let read = try descriptor.read(
                            fromAbsoluteOffset: Int64(count),
                            into: UnsafeMutableRawBufferPointer(rebasing: raw[count...])
                        )
                        if read == 0 { break }
                        count += read
                    }
                }
            }
        } catch Errno.noSuchFileOrDirectory {
            return nil
        } catch let errno as Errno {
            throw error(errno, "cannot read \(path)")
        }
    }

    /// Writes a file so that it is there whole or not at all, also over a crash.
    static func write(_ bytes: [UInt8], to path: FilePath, beside temporary: FilePath) throws {
        do {
            try translating("cannot write \(temporary)") {
                let descriptor = try FileDescriptor.open(
                    temporary,
                    .writeOnly,
                    options: [.create, .truncate, .closeOnExec],
                    permissions: [.ownerReadWrite]
                )
                try descriptor.closeAfter {
                    try bytes.withUnsafeBytes { try write($0, to: descriptor, at: 0) }
                    try check(fsync(descriptor.rawValue))
                }
            }
            try rename(temporary, to: path)
        } catch {
            unlink(temporary.string)
            throw error
        }
    }

    /// Writes all of `bytes` at an offset.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: FileDescriptor, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            done += try descriptor.write(
                toAbsoluteOffset: Int64(offset + done),
                UnsafeRawBufferPointer(rebasing: bytes[done...])
            )
        }
    }
}

extension DiskFingerprint {
    /// Of a file; nil if it is not there.
    init?(of path: FilePath) throws {
        guard let status = try Files.status(path) else { return nil }
        self.init(
            size: ByteSize(bytes: status.st_size),
            modifiedNanoseconds: status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
        )
    }
}
