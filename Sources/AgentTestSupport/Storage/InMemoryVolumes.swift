public import AgentCore
import Foundation
import Synchronization
public import SystemPackage

/// The volume port: sizes and how often each was written to, without disks; archives are files, as they must be.
public final class InMemoryVolumes: VolumeStore {
    /// A call that a test makes fail.
    public enum Call: Sendable, Hashable { case create, open, grow, remove }

    private struct State {
        var volumes: [VolumeID: DiskFingerprint] = [:]
        /// What those that were made of an archive contain.
        var contents: [VolumeID: [UInt8]] = [:]
        var opened: [VolumeID: [Bool]] = [:]
        var failures: [Call: AgentError] = [:]
    }

    private let root: FilePath
    private let state = Mutex(State())

    /// - Parameter root: Where archives go; whoever made it removes it.
    public init(root: FilePath) { self.root = root }

    /// Makes the next call of a kind fail before it does anything.
    public func fail(_ call: Call, with error: AgentError) { state.withLock { $0.failures[call] = error } }

    /// Those that are there.
    public var all: Set<VolumeID> { state.withLock { Set($0.volumes.keys) } }

    /// Whether each opening of one was to read only.
    public func openings(of id: VolumeID) -> [Bool] { state.withLock { $0.opened[id] ?? [] } }

    /// What one was made of; nil if it was made empty.
    public func contents(of id: VolumeID) -> [UInt8]? { state.withLock { $0.contents[id] } }

    /// A guest writes to one.
    public func write(to id: VolumeID) { state.withLock { $0.volumes[id]?.modifiedNanoseconds += 1 } }

    /// Grows one without anybody's knowledge, as an agent does that is killed before it says so.
    public func growSilently(_ id: VolumeID, to size: ByteSize) { state.withLock { $0.volumes[id]?.size = size } }

    public func newArchiveFile() async throws -> FilePath {
        try FileManager.default.createDirectory(atPath: root.string, withIntermediateDirectories: true)
        let path = root.appending("archive-\(UInt64.random(in: 0...UInt64.max))")
        try Data().write(to: URL(filePath: path.string))
        return path
    }

    public func discard(_ archive: FilePath) async throws {
        try? FileManager.default.removeItem(atPath: archive.string)
    }

    public func create(_ id: VolumeID, size: ByteSize, from archive: FilePath?) async throws {
        try enter(.create)
        var contents: [UInt8]?
        if let archive {
            let bytes = Array(try Data(contentsOf: URL(filePath: archive.string)))
            guard bytes.count >= 1024, bytes[257..<262].elementsEqual("ustar".utf8),
                bytes.suffix(512).allSatisfy({ $0 == 0 })
            else {
                throw AgentError(.invalidArgument, code: "invalid_archive", "the archive is not a tar archive")
            }
            guard bytes.count <= size.bytes else {
                throw AgentError(.invalidArgument, code: "volume_too_small", "the archive does not fit into \(size)")
            }
            contents = bytes
        }
        state.withLock { state in
            state.volumes[id] = DiskFingerprint(size: size, modifiedNanoseconds: 0)
            state.contents[id] = contents
        }
    }

    public func open(_ id: VolumeID, readOnly: Bool) async throws -> FilePath {
        try enter(.open)
        _ = try await fingerprint(of: id)
        state.withLock { $0.opened[id, default: []].append(readOnly) }
        return FilePath("/nonexistent/volumes/\(id).ext4")
    }

    public func grow(_ id: VolumeID, to size: ByteSize) async throws {
        try enter(.grow)
        _ = try await fingerprint(of: id)
        state.withLock { state in
            state.volumes[id]?.size = size
            state.volumes[id]?.modifiedNanoseconds += 1
        }
    }

    public func fingerprint(of id: VolumeID) async throws -> DiskFingerprint {
        guard let print = state.withLock({ $0.volumes[id] }) else {
            throw AgentError(.invalidState, code: "volume_missing", "the disk of volume \(id) is not there")
        }
        return print
    }

    /// A megabyte for each that is there.
    public func usage(of id: VolumeID) async throws -> ByteSize { .mebibytes(all.contains(id) ? 1 : 0) }

    public func remove(_ id: VolumeID) async throws {
        try enter(.remove)
        state.withLock { state in
            state.volumes[id] = nil
            state.contents[id] = nil
        }
    }

    public func prune(keeping ids: Set<VolumeID>) async throws {
        state.withLock { state in
            for id in state.volumes.keys where !ids.contains(id) { state.volumes[id] = nil }
        }
        try? FileManager.default.removeItem(atPath: root.string)
    }

    private func enter(_ call: Call) throws {
        if let failure = state.withLock({ $0.failures.removeValue(forKey: call) }) { throw failure }
    }
}
