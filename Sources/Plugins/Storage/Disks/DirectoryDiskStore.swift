public import AgentCore
import Glibc
import Subprocess
public import SystemPackage

/// Disks of instances as files: `instances/<id>/overlay.ext4`, sparse, and `instances/<id>/config.img`.
public struct DirectoryDiskStore: DiskStore {
    private static let overlayName = "overlay.ext4"
    private static let configurationName = "config.img"
    private static let sectorSize = 512

    private let directory: FilePath

    /// Makes the directory of instances.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration) throws {
        directory = configuration.dataDirectory.appending("instances")
        for path in [configuration.dataDirectory, directory] { try Files.makeDirectory(path) }
    }

    public func createOverlay(for instance: InstanceID, size: ByteSize) async throws -> FilePath {
        let path = directory(of: instance).appending(Self.overlayName)
        let temporary = directory(of: instance).appending(Self.overlayName + ".new")
        let isThere = try await Blocking.short {
            try Files.makeDirectory(directory(of: instance))
            if try Files.status(path) != nil { return true }
            try makeSparse(temporary, size: size)
            return false
        }
        if isThere { return path }
        do {
            try await makeFileSystem(temporary, for: instance)
            try await Blocking.short {
                try Files.sync(temporary)
                try Files.rename(temporary, to: path)
            }
            return path
        } catch {
            // Also if the task was cancelled, which would end a new one before it began.
            unlink(temporary.string)
            throw error
        }
    }

    public func writeConfigurationDisk(for instance: InstanceID, contents: [UInt8]) async throws -> FilePath {
        let path = directory(of: instance).appending(Self.configurationName)
        let padding = (Self.sectorSize - contents.count % Self.sectorSize) % Self.sectorSize
        let sectors = contents + [UInt8](repeating: 0, count: contents.isEmpty ? Self.sectorSize : padding)
        try await Blocking.short {
            try Files.makeDirectory(directory(of: instance))
            try Files.write(
                sectors,
                to: path,
                beside: directory(of: instance).appending(Self.configurationName + ".new")
            )
        }
        return path
    }

    public func fingerprint(of instance: InstanceID) async throws -> DiskFingerprint {
        let path = directory(of: instance).appending(Self.overlayName)
        let status = try await Blocking.short { try Files.status(path) }
        guard let status else {
            throw Self.missing(path, instance)
        }
        return DiskFingerprint(
            size: ByteSize(bytes: status.st_size),
            modifiedNanoseconds: status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
        )
    }

    public func copyOverlay(of instance: InstanceID, to path: FilePath) async throws {
        let source = directory(of: instance).appending(Self.overlayName)
        try await Self.copy(source, to: path, for: instance)
    }

    public func copyOverlay(of instance: InstanceID, for copy: InstanceID) async throws {
        let source = directory(of: instance).appending(Self.overlayName)
        try await replaceOverlay(of: copy, by: source, of: instance)
    }

    public func replaceOverlay(of instance: InstanceID, by path: FilePath) async throws {
        try await replaceOverlay(of: instance, by: path, of: instance)
    }

    private func replaceOverlay(of instance: InstanceID, by path: FilePath, of source: InstanceID) async throws {
        let overlay = directory(of: instance).appending(Self.overlayName)
        let new = directory(of: instance).appending(Self.overlayName + ".new")
        try await Blocking.short {
            try Files.makeDirectory(directory(of: instance))
            _ = try Files.remove(new)
        }
        try await Self.copy(path, to: new, for: source)
        try await Blocking.short { try Files.rename(new, to: overlay) }
    }

    private static func missing(_ path: FilePath, _ instance: InstanceID) -> AgentError {
        AgentError(.invalidState, code: "disk_missing", "the disk \(path) of instance \(instance) is not there")
    }

    private static func copy(_ source: FilePath, to path: FilePath, for instance: InstanceID) async throws {
        try await Blocking.long("disk copy") { cancellation in
            guard try Files.status(source) != nil else {
                throw missing(source, instance)
            }
            try Files.translating("cannot copy \(source) to \(path)") {
                try SparseFile.copy(source, to: path, cancellation)
            }
        }
    }

    public func usage(of instance: InstanceID) async throws -> ByteSize {
        try await Blocking.short {
            let blocks = try diskNames.reduce(0) { sum, name in
                try sum + (Files.status(directory(of: instance).appending(name)).map { Int($0.st_blocks) } ?? 0)
            }
            // st_blocks counts 512 bytes whatever the file system's blocks are (stat(2)).
            return ByteSize(bytes: blocks * 512)
        }
    }

    public func remove(_ instance: InstanceID) async throws {
        try await Blocking.short {
            let path = directory(of: instance)
            for name in diskNames { try Files.remove(path.appending(name)) }
            // Logs are another port's; who removes last removes the directory.
            if rmdir(path.string) != 0, errno != ENOTEMPTY, errno != ENOENT {
                throw Files.error(Errno(rawValue: errno), "cannot remove \(path)")
            }
        }
    }

    public func instances() async throws -> [InstanceID] {
        try await Blocking.short { try Files.names(in: directory).compactMap(InstanceID.init(rawValue:)) }
    }

    private var diskNames: [String] {
        [Self.overlayName, Self.configurationName].flatMap { [$0, $0 + ".new"] }
    }

    private func directory(of instance: InstanceID) -> FilePath { directory.appending(instance.rawValue) }

    private func makeSparse(_ path: FilePath, size: ByteSize) throws {
        do {
            try Files.translating("cannot make \(path)") {
                let file = try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .truncate, .closeOnExec],
                    permissions: [.ownerReadWrite]
                )
                try file.closeAfter { try Files.check(ftruncate(file.rawValue, size.bytes)) }
            }
        } catch {
            unlink(path.string)
            throw error
        }
    }

    private func makeFileSystem(_ path: FilePath, for instance: InstanceID) async throws {
        // Tables and journal are left to the guest's kernel, which keeps the file small; no blocks for root alone.
        let options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=1,discard", path.string]
        let environment = Environment.inherit.updating([
            // Where mkfs is, also for a user whose PATH leaves it out; messages that can be told apart.
            "PATH": (Glibc.getenv("PATH").map { String(cString: $0) + ":" } ?? "") + "/usr/sbin:/sbin", "LC_ALL": "C",
        ])
        let result: ExecutionResult<Void, DiscardedOutput, StringOutput<UTF8>>
        do {
            result = try await run(
                .name("mkfs.ext4"),
                arguments: Arguments(options),
                environment: environment,
                output: .discarded,
                error: .string(limit: 64 << 10)
            )
        } catch {
            if Task.isCancelled { throw AgentError(.cancelled, "making the overlay of \(instance) was cancelled") }
            throw AgentError(.unavailable, "mkfs.ext4 cannot be run; install e2fsprogs", cause: error)
        }
        guard !result.terminationStatus.isSuccess else { return }
        let reason = result.standardError.trimmingPrefix { $0.isWhitespace }.prefix(500)
        guard !reason.contains("No space left on device") else {
            throw AgentError(
                .storageFull,
                "cannot make the overlay of \(instance): the host's disk is full; free some space and try again"
            )
        }
        throw AgentError(.internal, code: "storage_error", "mkfs.ext4 failed for the overlay of \(instance): \(reason)")
    }
}
