public import AgentCore
import Glibc
public import SystemPackage

/// Disks of instances as files: `instances/<id>/overlay.ext4` and `volume-<volume>.ext4`, both sparse, and `config.img`.
public struct DirectoryDiskStore: DiskStore {
    private static let overlayName = "overlay.ext4"
    private static let volumeOverlayPrefix = "volume-"
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
        try await makeDisk(Self.overlayName, for: instance, size: size)
    }

    public func createOverlay(
        for instance: InstanceID,
        over volume: VolumeID,
        size: ByteSize
    ) async throws -> FilePath {
        try await makeDisk(Self.overlayName(over: volume), for: instance, size: size)
    }

    private func makeDisk(_ name: String, for instance: InstanceID, size: ByteSize) async throws -> FilePath {
        let path = directory(of: instance).appending(name)
        let temporary = directory(of: instance).appending(name + ".new")
        let isThere = try await Blocking.short {
            try Files.makeDirectory(directory(of: instance))
            if try Files.status(path) != nil { return true }
            try Ext4Tools.makeSparse(temporary, size: size)
            return false
        }
        if isThere { return path }
        do {
            try await Ext4Tools.makeFileSystem(temporary, for: "the overlay of \(instance)")
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
        try await fingerprint(of: Self.overlayName, of: instance)
    }

    public func fingerprint(of instance: InstanceID, over volume: VolumeID) async throws -> DiskFingerprint {
        try await fingerprint(of: Self.overlayName(over: volume), of: instance)
    }

    private func fingerprint(of name: String, of instance: InstanceID) async throws -> DiskFingerprint {
        let path = directory(of: instance).appending(name)
        guard let print = try await Blocking.short({ try DiskFingerprint(of: path) }) else {
            throw Self.missing(path, instance)
        }
        return print
    }

    public func removeOverlay(of instance: InstanceID, over volume: VolumeID) async throws {
        let path = directory(of: instance).appending(Self.overlayName(over: volume))
        try await Blocking.short { _ = try Files.remove(path) }
    }

    public func copyOverlay(of instance: InstanceID, to path: FilePath) async throws {
        let source = directory(of: instance).appending(Self.overlayName)
        try await Self.copy(source, to: path, for: instance)
    }

    public func copyOverlay(of instance: InstanceID, for copy: InstanceID) async throws {
        let source = directory(of: instance).appending(Self.overlayName)
        try await replaceOverlay(of: copy, by: source, of: instance) {}
    }

    public func replaceOverlay(
        of instance: InstanceID,
        by path: FilePath,
        isReady: @Sendable () async throws -> Void
    ) async throws {
        try await replaceOverlay(of: instance, by: path, of: instance, isReady: isReady)
    }

    private func replaceOverlay(
        of instance: InstanceID,
        by path: FilePath,
        of source: InstanceID,
        isReady: @Sendable () async throws -> Void
    ) async throws {
        let overlay = directory(of: instance).appending(Self.overlayName)
        let new = directory(of: instance).appending(Self.overlayName + ".new")
        try await Blocking.short {
            try Files.makeDirectory(directory(of: instance))
            _ = try Files.remove(new)
        }
        try await Self.copy(path, to: new, for: source)
        do {
            try await isReady()
        } catch {
            try await Blocking.short { _ = try Files.remove(new) }
            throw error
        }
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
            let blocks = try diskNames(of: instance).reduce(0) { sum, name in
                try sum + (Files.status(directory(of: instance).appending(name)).map { Int($0.st_blocks) } ?? 0)
            }
            // st_blocks counts 512 bytes whatever the file system's blocks are (stat(2)).
            return ByteSize(bytes: blocks * 512)
        }
    }

    public func remove(_ instance: InstanceID) async throws {
        try await Blocking.short {
            let path = directory(of: instance)
            for name in try diskNames(of: instance) { try Files.remove(path.appending(name)) }
            // Logs are another port's; who removes last removes the directory.
            if rmdir(path.string) != 0, errno != ENOTEMPTY, errno != ENOENT {
                throw Files.error(Errno(rawValue: errno), "cannot remove \(path)")
            }
        }
    }

    public func instances() async throws -> [InstanceID] {
        try await Blocking.short { try Files.names(in: directory).compactMap(InstanceID.init(rawValue:)) }
    }

    /// Logs are another port's.
    private func diskNames(of instance: InstanceID) throws -> [String] {
        try Files.names(in: directory(of: instance)).filter { name in
            name.hasPrefix(Self.volumeOverlayPrefix)
                || [Self.overlayName, Self.configurationName].contains { name == $0 || name == $0 + ".new" }
        }
    }

    private static func overlayName(over volume: VolumeID) -> String { "\(volumeOverlayPrefix)\(volume).ext4" }

    private func directory(of instance: InstanceID) -> FilePath { directory.appending(instance.rawValue) }
}
