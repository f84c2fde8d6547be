public import AgentCore
import Glibc
public import SystemPackage

/// Volumes as files: `volumes/<id>.ext4`, sparse; `<id>.new` while one is made or grown, and archives on their way.
public struct DirectoryVolumeStore: VolumeStore {
    private static let diskSuffix = ".ext4"
    private static let newSuffix = ".new"
    private static let archivePrefix = "archive."

    private let directory: FilePath
    private let limits: ImageLimits

    /// Makes the directory of volumes.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration) throws {
        directory = configuration.dataDirectory.appending("volumes")
        limits = configuration.imageLimits
        for path in [configuration.dataDirectory, directory] { try Files.makeDirectory(path) }
    }

    public func newArchiveFile() async throws -> FilePath {
        let name = Self.archivePrefix + String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let path = directory.appending(name)
        try await Blocking.short {
            try Files.translating("cannot make \(path)") {
                try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .exclusiveCreate, .closeOnExec],
                    permissions: .ownerReadWrite
                ).close()
            }
        }
        return path
    }

    public func discard(_ archive: FilePath) async throws {
        try await Blocking.short { _ = try Files.remove(archive) }
    }

    public func create(_ id: VolumeID, size: ByteSize, from archive: FilePath?) async throws {
        let (new, path) = (path(id, Self.newSuffix), path(id, Self.diskSuffix))
        let limits = limits
        let contents = archive.map { VolumeArchive($0, for: size, limits: limits) }
        do {
            try await Blocking.short { try Ext4Tools.makeSparse(new, size: size) }
            try await Ext4Tools.makeFileSystem(new, for: "volume \(id)")
            try await Blocking.long("volume") { cancellation in
                try VolumeArchive.fill(new, with: contents, limits: limits, cancellation)
                try Files.sync(new)
                try cancellation.check()
                try Files.rename(new, to: path)
            }
        } catch {
            unlink(new.string)
            throw error
        }
    }

    public func open(_ id: VolumeID, readOnly: Bool) async throws -> FilePath {
        let path = path(id, Self.diskSuffix)
        _ = try await status(of: id)
        guard readOnly, try await Blocking.short({ try Ext4Superblock.needsRecovery(path) }) else { return path }
        try await Ext4Tools.replayJournal(path, of: "volume \(id)")
        try await Blocking.short { try Files.sync(path) }
        return path
    }

    /// In a copy, which then takes its place: neither a crash nor a full disk leaves half of a growth.
    ///
    /// A file system that shares what files have in common makes that a matter of a moment.
    public func grow(_ id: VolumeID, to size: ByteSize) async throws {
        _ = try await status(of: id)
        let (new, path) = (path(id, Self.newSuffix), path(id, Self.diskSuffix))
        let subject = "volume \(id)"
        do {
            try await Blocking.long("volume") { cancellation in
                _ = try Files.remove(new)
                try Files.translating("cannot copy \(path)") {
                    try SparseFile.copy(path, to: new, cancellation)
                }
            }
            try await Ext4Tools.check(new, of: subject)
            try await Blocking.short {
                try Files.translating("cannot grow \(new)") { try Files.check(truncate(new.string, size.bytes)) }
            }
            try await Ext4Tools.grow(new, of: subject)
            try await Ext4Tools.removeLostAndFound(new, of: subject)
            try await Blocking.short {
                try Files.sync(new)
                try Files.rename(new, to: path)
            }
        } catch {
            unlink(new.string)
            throw error
        }
    }

    public func fingerprint(of id: VolumeID) async throws -> DiskFingerprint { try await status(of: id) }

    public func usage(of id: VolumeID) async throws -> ByteSize {
        let path = path(id, Self.diskSuffix)
        return try await Blocking.short { ByteSize(bytes: try Files.allocated(path)) }
    }

    public func remove(_ id: VolumeID) async throws {
        let paths = [Self.diskSuffix, Self.newSuffix].map { path(id, $0) }
        try await Blocking.short {
            for path in paths { try Files.remove(path) }
        }
    }

    public func prune(keeping ids: Set<VolumeID>) async throws {
        let kept = Set(ids.map { $0.rawValue + Self.diskSuffix })
        try await Blocking.short {
            for name in try Files.names(in: directory) where !kept.contains(name) && Self.isOwn(name) {
                try Files.remove(directory.appending(name))
            }
        }
    }

    /// Whether a file's name is one that is given here.
    private static func isOwn(_ name: String) -> Bool {
        name.hasSuffix(diskSuffix) || name.hasSuffix(newSuffix) || name.hasPrefix(archivePrefix)
    }

    private func status(of id: VolumeID) async throws -> DiskFingerprint {
        let path = path(id, Self.diskSuffix)
        guard let print = try await Blocking.short({ try DiskFingerprint(of: path) }) else {
            throw AgentError(
                .invalidState,
                code: "volume_missing",
                "the disk \(path) of volume \(id) is not there; put it back, or delete the volume"
            )
        }
        return print
    }

    private func path(_ id: VolumeID, _ suffix: String) -> FilePath { directory.appending(id.rawValue + suffix) }
}

/// What the host looks at in a file system that a guest has written to.
enum Ext4Superblock {
    private static let offset = 1024
    /// `s_magic` and `s_feature_incompat` (kernel, Documentation/filesystems/ext4/super.rst).
    private static let magicOffset = 0x38
    private static let magic: UInt16 = 0xef53
    private static let incompatibleOffset = 0x60
    private static let recover: UInt16 = 0x4

    /// Whether the journal holds what is not in its place yet; false for what is no ext4, which the guest will say.
    static func needsRecovery(_ path: FilePath) throws -> Bool {
        try Files.translating("cannot read \(path)") {
            let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
            return try file.closeAfter {
                var block = [UInt8](repeating: 0, count: 1024)
                let count = try block.withUnsafeMutableBytes {
                    try file.read(fromAbsoluteOffset: Int64(offset), into: $0)
                }
                func word(_ offset: Int) -> UInt16 { UInt16(block[offset]) | UInt16(block[offset + 1]) << 8 }
                return count == block.count && word(magicOffset) == magic && word(incompatibleOffset) & recover != 0
            }
        }
    }
}
