import Foundation
import SystemPackage

/// The directories of machines' sockets, one an instance, on a tmpfs: each call is a few system calls.
struct RuntimeDirectories: Sendable {
    let root: FilePath

    /// Where an instance's machine has its sockets; the same each time.
    func path(of instance: InstanceID) -> FilePath { root.appending("vms").appending(instance.rawValue) }

    /// Makes an empty one that only this user may enter, in place of what a crash left there.
    func create(for instance: InstanceID) throws(AgentError) -> FilePath {
        let path = path(of: instance)
        do {
            try remove(instance)
            try FileManager.default.createDirectory(
                atPath: path.string,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw AgentError(.unavailable, "cannot make the runtime directory \(path)", cause: error)
        }
        return path
    }

    /// Removes an instance's.
    ///
    /// Idempotent.
    func remove(_ instance: InstanceID) throws {
        let path = path(of: instance).string
        guard FileManager.default.fileExists(atPath: path) else { return }
        try FileManager.default.removeItem(atPath: path)
    }

    /// The instances that have one.
    func instances() throws -> [InstanceID] {
        let parent = root.appending("vms").string
        guard FileManager.default.fileExists(atPath: parent) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: parent).compactMap(InstanceID.init(rawValue:))
    }

    /// The end of what the VMM wrote to its log, at most 64 KiB.
    func machineOutput(of instance: InstanceID) -> [UInt8] {
        let path = path(of: instance).appending("vmm.log").string
        guard let file = FileHandle(forReadingAtPath: path) else { return [] }
        defer { file.closeFile() }
        let limit: UInt64 = 64 << 10
        let size = file.seekToEndOfFile()
        file.seek(toFileOffset: size > limit ? size - limit : 0)
        return Array(file.readData(ofLength: Int(limit)))
    }
}
