public import AgentCore
import Foundation
import Synchronization
public import SystemPackage

/// The snapshot port on a scratch directory: manifests in memory, what a hypervisor writes on disk, as it must be.
public final class InMemorySnapshots: SnapshotStore {
    private struct State {
        var begun: Set<SnapshotID> = []
        var manifests: [SnapshotID: SnapshotManifest] = [:]
        var failures: [Call: AgentError] = [:]
    }

    /// A call that a test makes fail.
    public enum Call: String, Sendable, Hashable { case begin, share, commit, manifest, verify, remove }

    /// What is on disk, whatever becomes of the agent.
    private final class Host: Sendable {
        let state = Mutex(State())
    }

    private let root: FilePath
    private let host: Host
    private let calls: PortCalls
    private let isDead = Mutex(false)

    /// - Parameters:
    ///   - root: Where directories are made; whoever made it removes it.
    ///   - calls: Hears of each call.
    public convenience init(root: FilePath, calls: PortCalls = PortCalls()) { self.init(root, Host(), calls) }

    private init(_ root: FilePath, _ host: Host, _ calls: PortCalls) {
        (self.root, self.host, self.calls) = (root, host, calls)
    }

    /// The port in the agent's next life; this one does nothing any more, as a dead process does.
    public func restarted() -> InMemorySnapshots {
        isDead.withLock { $0 = true }
        return InMemorySnapshots(root, host, calls)
    }

    /// Makes the next call of a kind fail before it does anything.
    public func fail(_ call: Call, with error: AgentError) { host.state.withLock { $0.failures[call] = error } }

    /// What was begun or committed, and not removed.
    public var all: Set<SnapshotID> { host.state.withLock { $0.begun.union($0.manifests.keys) } }

    /// Changes what a manifest says.
    public func change(_ id: SnapshotID, _ body: @Sendable (inout SnapshotManifest) -> Void) {
        host.state.withLock { state in
            guard var manifest = state.manifests[id] else { return }
            body(&manifest)
            state.manifests[id] = manifest
        }
    }

    public func begin(_ id: SnapshotID) async throws -> SnapshotDirectory {
        try await enter(.begin)
        try? FileManager.default.removeItem(atPath: path(id).string)
        try FileManager.default.createDirectory(atPath: path(id).string, withIntermediateDirectories: true)
        host.state.withLock { _ = $0.begun.insert(id) }
        return SnapshotDirectory(path: path(id))
    }

    public func share(_ id: SnapshotID, with other: SnapshotID) async throws -> [SnapshotManifest.File] {
        try await enter(.share)
        let files = try found(id).files.filter { $0.name != SnapshotManifest.overlayName }
        for file in files {
            let (source, target) = (path(id).appending(file.name), path(other).appending(file.name))
            guard FileManager.default.fileExists(atPath: source.string) else {
                throw AgentError(.invalidState, code: "snapshot_missing", "the file \(file.name) is not there")
            }
            try FileManager.default.linkItem(atPath: source.string, toPath: target.string)
        }
        return files
    }

    public func commit(_ id: SnapshotID, _ manifest: SnapshotManifest) async throws {
        try await enter(.commit)
        var manifest = manifest
        let shared = manifest.files
        manifest.files = try contents(id).map { file in shared.first { $0.name == file.name } ?? file }
        host.state.withLock { state in
            state.begun.remove(id)
            state.manifests[id] = manifest
        }
    }

    public func manifest(of id: SnapshotID) async throws -> SnapshotManifest {
        try await enter(.manifest)
        return try found(id)
    }

    private func found(_ id: SnapshotID) throws -> SnapshotManifest {
        guard let manifest = host.state.withLock({ $0.manifests[id] }) else {
            throw AgentError(.invalidState, code: "snapshot_missing", "snapshot \(id) is not there")
        }
        return manifest
    }

    public func directory(of id: SnapshotID) -> SnapshotDirectory { SnapshotDirectory(path: path(id)) }

    public func verify(_ id: SnapshotID) async throws {
        try await enter(.verify)
        let manifest = try found(id)
        let found = try contents(id)
        for file in manifest.files {
            guard let same = found.first(where: { $0.name == file.name }) else {
                throw AgentError(.invalidState, code: "snapshot_missing", "the file \(file.name) is not there")
            }
            guard same == file else {
                throw AgentError(.invalidState, code: "snapshot_corrupt", "the file \(file.name) is damaged")
            }
        }
    }

    public func usage(of id: SnapshotID) async throws -> ByteSize {
        ByteSize(bytes: all.contains(id) ? try contents(id).reduce(0) { $0 + $1.size } : 0)
    }

    public func remove(_ id: SnapshotID) async throws {
        try await enter(.remove)
        host.state.withLock { state in
            state.begun.remove(id)
            state.manifests[id] = nil
        }
        try? FileManager.default.removeItem(atPath: path(id).string)
    }

    public func prune(keeping ids: Set<SnapshotID>) async throws {
        for id in all.subtracting(ids) { try await remove(id) }
    }

    private func enter(_ call: Call) async throws {
        try await calls.enter("snapshots.\(call.rawValue)")
        if isDead.withLock({ $0 }) { throw AgentError(.unavailable, "this life of the agent has ended") }
        if let failure = host.state.withLock({ $0.failures.removeValue(forKey: call) }) { throw failure }
    }

    private func path(_ id: SnapshotID) -> FilePath { root.appending(id.rawValue) }

    /// The checksum is the contents themselves: a double's are short.
    private func contents(_ id: SnapshotID) throws -> [SnapshotManifest.File] {
        guard FileManager.default.fileExists(atPath: path(id).string) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: path(id).string).sorted().map { name in
            let data = try Data(contentsOf: URL(filePath: path(id).appending(name).string))
            return SnapshotManifest.File(name: name, size: data.count, checksum: data.base64EncodedString())
        }
    }
}
