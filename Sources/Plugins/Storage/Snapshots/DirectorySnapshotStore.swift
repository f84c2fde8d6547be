public import AgentCore
import Foundation
import Glibc
import SystemPackage

/// Saved machines as directories: `snapshots/<id>`, and `snapshots/<id>.new` until one is whole.
public struct DirectorySnapshotStore: SnapshotStore {
    private static let manifestName = "manifest.json"
    private static let newSuffix = ".new"
    /// Ours is some 2 KiB long.
    private static let maximumManifest = 1 << 20
    /// A hypervisor writes a handful.
    private static let maximumFiles = 64

    private let directory: FilePath

    /// Makes the directory of snapshots.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration) throws {
        directory = configuration.dataDirectory.appending("snapshots")
        for path in [configuration.dataDirectory, directory] { try Files.makeDirectory(path) }
    }

    public func begin(_ id: SnapshotID) async throws -> SnapshotDirectory {
        let path = beginning(id)
        try await Blocking.short {
            try Self.removeTree(path)
            try Files.makeDirectory(path)
        }
        return SnapshotDirectory(path: path)
    }

    public func share(_ id: SnapshotID, with other: SnapshotID) async throws -> [SnapshotManifest.File] {
        let (path, destination) = (path(id), beginning(other))
        return try await Blocking.short {
            let files = try Self.manifest(id, in: path).files.filter { $0.name != SnapshotManifest.overlayName }
            for file in files {
                let source = path.appending(try Self.component(file.name, id))
                guard link(source.string, destination.appending(file.name).string) != 0 else { continue }
                guard errno == ENOENT else { throw Files.error(Errno(rawValue: errno), "cannot link \(source)") }
                throw Self.missing(file.name, id)
            }
            return files
        }
    }

    public func commit(_ id: SnapshotID, _ manifest: SnapshotManifest) async throws {
        let (path, destination) = (beginning(id), self.path(id))
        try await Blocking.long("snapshot") { cancellation in
            var manifest = manifest
            let names = try Files.names(in: path)
            guard names.count <= Self.maximumFiles, !names.contains(Self.manifestName) else {
                throw AgentError(.internal, "the hypervisor wrote \(names.count) files into \(path), or a manifest")
            }
            let shared = Dictionary(uniqueKeysWithValues: manifest.files.map { ($0.name, $0) })
            manifest.files = try names.map { name in
                if let file = shared[name] { return file }
                let (size, checksum) = try Files.translating("cannot read \(path)/\(name)") {
                    try Checksum.file(path.appending(name), cancellation)
                }
                return SnapshotManifest.File(name: name, size: size, checksum: checksum)
            }
            for name in names { try Files.sync(path.appending(name)) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            try Files.write(
                Array(try encoder.encode(manifest)),
                to: path.appending(Self.manifestName),
                beside: path.appending(Self.manifestName + Self.newSuffix)
            )
            try Files.rename(path, to: destination)
        }
    }

    public func manifest(of id: SnapshotID) async throws -> SnapshotManifest {
        let path = path(id)
        return try await Blocking.short { try Self.manifest(id, in: path) }
    }

    public func directory(of id: SnapshotID) -> SnapshotDirectory { SnapshotDirectory(path: path(id)) }

    public func verify(_ id: SnapshotID) async throws {
        let path = path(id)
        try await Blocking.long("snapshot") { cancellation in
            for file in try Self.manifest(id, in: path).files {
                let name = try Self.component(file.name, id)
                let found: (size: Int, digits: String)
                do {
                    found = try Checksum.file(path.appending(name), cancellation)
                } catch Errno.noSuchFileOrDirectory {
                    throw Self.missing(file.name, id)
                } catch let errno as Errno {
                    throw Files.error(errno, "cannot read \(path)/\(file.name)")
                }
                guard found.size == file.size else {
                    throw Self.corrupt(id, "its file \(file.name) has \(found.size) bytes instead of \(file.size)")
                }
                guard found.digits == file.checksum else {
                    throw Self.corrupt(id, "the checksum of its file \(file.name) is wrong")
                }
            }
        }
    }

    public func usage(of id: SnapshotID) async throws -> ByteSize {
        let path = path(id)
        return try await Blocking.short {
            ByteSize(bytes: try Files.names(in: path).reduce(0) { try $0 + Files.allocated(path.appending($1)) })
        }
    }

    public func remove(_ id: SnapshotID) async throws {
        let paths = [path(id), beginning(id)]
        try await Blocking.short {
            for path in paths { try Self.removeTree(path) }
        }
    }

    public func prune(keeping ids: Set<SnapshotID>) async throws {
        let directory = directory
        try await Blocking.short {
            for name in try Files.names(in: directory) {
                if let id = SnapshotID(rawValue: name), ids.contains(id) { continue }
                // Only what is ours by its name.
                let base = name.hasSuffix(Self.newSuffix) ? String(name.dropLast(Self.newSuffix.count)) : name
                guard SnapshotID(rawValue: base) != nil else { continue }
                try Self.removeTree(directory.appending(name))
            }
        }
    }

    private func path(_ id: SnapshotID) -> FilePath { directory.appending(id.rawValue) }
    private func beginning(_ id: SnapshotID) -> FilePath { directory.appending(id.rawValue + Self.newSuffix) }

    /// A name out of a manifest is a path only once it is one that a directory can list.
    private static func component(_ name: String, _ id: SnapshotID) throws -> FilePath.Component {
        guard let component = FilePath.Component(name), component.kind == .regular else {
            throw corrupt(id, "its manifest names a file '\(name.prefix(80))'")
        }
        return component
    }

    private static func missing(_ name: String, _ id: SnapshotID) -> AgentError {
        AgentError(.invalidState, code: "snapshot_missing", "the file \(name) of snapshot \(id) is not there")
    }

    private static func corrupt(_ id: SnapshotID, _ what: String) -> AgentError {
        AgentError(.invalidState, code: "snapshot_corrupt", "snapshot \(id) is damaged: \(what)")
    }

    private static func manifest(_ id: SnapshotID, in path: FilePath) throws -> SnapshotManifest {
        guard let bytes = try Files.contents(path.appending(manifestName), limit: maximumManifest) else {
            throw AgentError(.invalidState, code: "snapshot_missing", "snapshot \(id) is not there")
        }
        struct Format: Decodable { var format: Int }
        do {
            let format = try JSONDecoder().decode(Format.self, from: Data(bytes)).format
            guard format == SnapshotManifest.currentFormat else {
                throw AgentError(
                    .versionMismatch,
                    code: "snapshot_version_mismatch",
                    "snapshot \(id) has form \(format), and this agent reads \(SnapshotManifest.currentFormat)"
                )
            }
            let manifest = try JSONDecoder().decode(SnapshotManifest.self, from: Data(bytes))
            guard manifest.files.count <= maximumFiles else { throw corrupt(id, "its manifest is too long") }
            return manifest
        } catch let error as DecodingError {
            var failure = corrupt(id, "its manifest is not readable")
            failure.cause = error
            throw failure
        }
    }

    /// One directory of files, the manifest first: half of one is never taken for whole.
    private static func removeTree(_ path: FilePath) throws {
        guard try Files.status(path) != nil else { return }
        try Files.remove(path.appending(manifestName))
        for name in try Files.names(in: path) { try Files.remove(path.appending(name)) }
        if rmdir(path.string) != 0, errno != ENOENT {
            throw Files.error(Errno(rawValue: errno), "cannot remove \(path)")
        }
    }
}
