public import AgentCore
import Foundation
import Synchronization
public import SystemPackage

/// The disk port in memory: sizes and contents without files.
public final class InMemoryDisks: DiskStore {
    private struct Disks {
        var overlay: ByteSize?
        var configuration: [UInt8]?
        /// By volume, with how often each was written to.
        var overVolumes: [VolumeID: DiskFingerprint] = [:]
        var writes = 0
        var origin: Int?
    }

    private struct State {
        var disks: [InstanceID: Disks] = [:]
        var failure: AgentError?
    }

    /// What is on disk, whatever becomes of the agent.
    private final class Host: Sendable {
        let state = Mutex(State())
    }

    private let host: Host
    private let calls: PortCalls
    private let isDead = Mutex(false)

    /// Without disks.
    public convenience init(calls: PortCalls = PortCalls()) { self.init(Host(), calls) }

    private init(_ host: Host, _ calls: PortCalls) { (self.host, self.calls) = (host, calls) }

    /// The port in the agent's next life; this one does nothing any more, as a dead process does.
    public func restarted() -> InMemoryDisks {
        isDead.withLock { $0 = true }
        return InMemoryDisks(host, calls)
    }

    private func enter(_ call: String) async throws {
        try await calls.enter("disks.\(call)")
        if isDead.withLock({ $0 }) { throw AgentError(.unavailable, "this life of the agent has ended") }
    }

    /// Makes every call that writes fail from now on; nil lets them succeed again.
    public func failWrites(with error: AgentError?) { host.state.withLock { $0.failure = error } }

    /// The size that an instance's overlay was made with.
    public func overlaySize(of instance: InstanceID) -> ByteSize? {
        host.state.withLock { $0.disks[instance]?.overlay }
    }

    /// What an instance's configuration disk begins with.
    public func configuration(of instance: InstanceID) -> [UInt8]? {
        host.state.withLock { $0.disks[instance]?.configuration }
    }

    public func createOverlay(for instance: InstanceID, size: ByteSize) async throws -> FilePath {
        try await enter("createOverlay")
        return try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            if state.disks[instance]?.overlay == nil { state.disks[instance, default: Disks()].overlay = size }
            return FilePath("/nonexistent/\(instance)/overlay.ext4")
        }
    }

    public func createOverlay(
        for instance: InstanceID,
        over volume: VolumeID,
        size: ByteSize
    ) async throws -> FilePath {
        try await enter("createVolumeOverlay")
        return try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            if state.disks[instance]?.overVolumes[volume] == nil {
                let new = DiskFingerprint(size: size, modifiedNanoseconds: 0)
                state.disks[instance, default: Disks()].overVolumes[volume] = new
            }
            return FilePath("/nonexistent/\(instance)/volume-\(volume).ext4")
        }
    }

    public func fingerprint(of instance: InstanceID, over volume: VolumeID) async throws -> DiskFingerprint {
        try await enter("fingerprint")
        return try host.state.withLock { state in
            guard let print = state.disks[instance]?.overVolumes[volume] else {
                throw AgentError(.invalidState, code: "disk_missing", "instance \(instance) has no such disk")
            }
            return print
        }
    }

    public func removeOverlay(of instance: InstanceID, over volume: VolumeID) async throws {
        try await enter("removeVolumeOverlay")
        try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance]?.overVolumes[volume] = nil
        }
    }

    public func writeConfigurationDisk(for instance: InstanceID, contents: [UInt8]) async throws -> FilePath {
        try await enter("writeConfigurationDisk")
        return try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance, default: Disks()].configuration = contents
            return FilePath("/nonexistent/\(instance)/config")
        }
    }

    /// The guest, or somebody else, writes to an instance's disk.
    public func write(to instance: InstanceID) { host.state.withLock { $0.disks[instance]?.writes += 1 } }

    /// An instance's overlay is gone, as if somebody had removed the file.
    public func loseOverlay(of instance: InstanceID) { host.state.withLock { $0.disks[instance]?.overlay = nil } }

    public func fingerprint(of instance: InstanceID) async throws -> DiskFingerprint {
        try await enter("fingerprint")
        return try look(at: instance)
    }

    private func look(at instance: InstanceID) throws -> DiskFingerprint {
        try host.state.withLock { state in
            guard let disks = state.disks[instance], let size = disks.overlay else {
                throw AgentError(.invalidState, code: "disk_missing", "instance \(instance) has no disk")
            }
            return DiskFingerprint(size: size, modifiedNanoseconds: disks.writes)
        }
    }

    /// A short file that says which disk it was.
    public func copyOverlay(of instance: InstanceID, to path: FilePath) async throws {
        try await enter("copyOverlay")
        let print = try look(at: instance)
        if let failure = host.state.withLock({ $0.failure }) { throw failure }
        try "\(print.size.bytes) \(print.modifiedNanoseconds)".write(
            toFile: path.string,
            atomically: true,
            encoding: .utf8
        )
    }

    public func copyOverlay(of instance: InstanceID, for copy: InstanceID) async throws {
        try await enter("copyOverlay")
        let print = try look(at: instance)
        try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[copy, default: Disks()].overlay = print.size
            state.disks[copy]?.origin = print.modifiedNanoseconds
            state.disks[copy]?.writes += 1
        }
    }

    public func replaceOverlay(
        of instance: InstanceID,
        by path: FilePath,
        isReady: @Sendable () async throws -> Void
    ) async throws {
        try await enter("replaceOverlay")
        if let failure = host.state.withLock({ $0.failure }) { throw failure }
        try await isReady()
        let words = try String(contentsOfFile: path.string, encoding: .utf8).split(separator: " ")
        try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance, default: Disks()].overlay = words.first.flatMap { Int($0) }.map {
                ByteSize(bytes: $0)
            }
            state.disks[instance]?.origin = words.last.flatMap { Int($0) }
            // A new file is another one, whatever is in it.
            state.disks[instance]?.writes += 1
        }
    }

    /// How many writes the disk had seen that an instance's overlay was last replaced by; nil if it never was.
    public func origin(of instance: InstanceID) -> Int? { host.state.withLock { $0.disks[instance]?.origin } }

    /// A megabyte for each instance that has an overlay.
    public func usage(of instance: InstanceID) async throws -> ByteSize {
        .mebibytes(overlaySize(of: instance) == nil ? 0 : 1)
    }

    public func remove(_ instance: InstanceID) async throws {
        try await enter("remove")
        try host.state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance] = nil
        }
    }

    public func instances() async throws -> [InstanceID] { host.state.withLock { Array($0.disks.keys) } }
}
