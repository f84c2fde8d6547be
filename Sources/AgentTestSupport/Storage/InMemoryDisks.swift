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

    private let state = Mutex(State())

    public init() {}

    /// Makes every call that writes fail from now on; nil lets them succeed again.
    public func failWrites(with error: AgentError?) { state.withLock { $0.failure = error } }

    /// The size that an instance's overlay was made with.
    public func overlaySize(of instance: InstanceID) -> ByteSize? { state.withLock { $0.disks[instance]?.overlay } }

    /// What an instance's configuration disk begins with.
    public func configuration(of instance: InstanceID) -> [UInt8]? {
        state.withLock { $0.disks[instance]?.configuration }
    }

    public func createOverlay(for instance: InstanceID, size: ByteSize) async throws -> FilePath {
        try state.withLock { state in
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
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            if state.disks[instance]?.overVolumes[volume] == nil {
                let new = DiskFingerprint(size: size, modifiedNanoseconds: 0)
                state.disks[instance, default: Disks()].overVolumes[volume] = new
            }
            return FilePath("/nonexistent/\(instance)/volume-\(volume).ext4")
        }
    }

    public func fingerprint(of instance: InstanceID, over volume: VolumeID) async throws -> DiskFingerprint {
        try state.withLock { state in
            guard let print = state.disks[instance]?.overVolumes[volume] else {
                throw AgentError(.invalidState, code: "disk_missing", "instance \(instance) has no such disk")
            }
            return print
        }
    }

    public func removeOverlay(of instance: InstanceID, over volume: VolumeID) async throws {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance]?.overVolumes[volume] = nil
        }
    }

    public func writeConfigurationDisk(for instance: InstanceID, contents: [UInt8]) async throws -> FilePath {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance, default: Disks()].configuration = contents
            return FilePath("/nonexistent/\(instance)/config")
        }
    }

    /// The guest, or somebody else, writes to an instance's disk.
    public func write(to instance: InstanceID) { state.withLock { $0.disks[instance]?.writes += 1 } }

    /// An instance's overlay is gone, as if somebody had removed the file.
    public func loseOverlay(of instance: InstanceID) { state.withLock { $0.disks[instance]?.overlay = nil } }

    public func fingerprint(of instance: InstanceID) async throws -> DiskFingerprint {
        try state.withLock { state in
            guard let disks = state.disks[instance], let size = disks.overlay else {
                throw AgentError(.invalidState, code: "disk_missing", "instance \(instance) has no disk")
            }
            return DiskFingerprint(size: size, modifiedNanoseconds: disks.writes)
        }
    }

    /// A short file that says which disk it was.
    public func copyOverlay(of instance: InstanceID, to path: FilePath) async throws {
        let print = try await fingerprint(of: instance)
        if let failure = state.withLock({ $0.failure }) { throw failure }
        try "\(print.size.bytes) \(print.modifiedNanoseconds)".write(
            toFile: path.string,
            atomically: true,
            encoding: .utf8
        )
    }

    public func replaceOverlay(of instance: InstanceID, by path: FilePath) async throws {
        let words = try String(contentsOfFile: path.string, encoding: .utf8).split(separator: " ")
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance]?.overlay = words.first.flatMap { Int($0) }.map { ByteSize(bytes: $0) }
            state.disks[instance]?.origin = words.last.flatMap { Int($0) }
            // A new file is another one, whatever is in it.
            state.disks[instance]?.writes += 1
        }
    }

    /// How many writes the disk had seen that an instance's overlay was last replaced by; nil if it never was.
    public func origin(of instance: InstanceID) -> Int? { state.withLock { $0.disks[instance]?.origin } }

    /// A megabyte for each instance that has an overlay.
    public func usage(of instance: InstanceID) async throws -> ByteSize {
        .mebibytes(overlaySize(of: instance) == nil ? 0 : 1)
    }

    public func remove(_ instance: InstanceID) async throws {
        try state.withLock { state in
            if let failure = state.failure { throw failure }
            state.disks[instance] = nil
        }
    }

    public func instances() async throws -> [InstanceID] { state.withLock { Array($0.disks.keys) } }
}
