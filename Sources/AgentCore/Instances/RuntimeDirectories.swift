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

    // MARK: The VMM's own words

    /// The file that a VMM's stdout and stderr go to.
    static let machineOutputName = "vmm.log"
    /// Bytes of it that are read at a time.
    static let machineOutputPiece = 64 << 10

    /// How far its VMM's output was taken over; it goes with the directory, and survives the agent.
    private func positionPath(of instance: InstanceID) -> FilePath {
        path(of: instance).appending("vmm.position")
    }

    /// What the VMM wrote and nobody took over yet, one piece of it, and the position behind it.
    ///
    /// - Parameters:
    ///   - instance: Whose VMM.
    ///   - whole: Also the beginning of a line whose end is not there yet.
    /// - Returns: nil if there is nothing.
    /// - Throws: If the file is there and cannot be read.
    func machineOutput(of instance: InstanceID, whole: Bool) throws -> (bytes: [UInt8], position: Int)? {
        let limit = Self.machineOutputPiece
        let file: FileDescriptor
        do {
            let path = path(of: instance).appending(Self.machineOutputName)
            file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
        } catch Errno.noSuchFileOrDirectory {
            return nil
        }
        return try file.closeAfter {
            let size = Int(try file.seek(offset: 0, from: .end))
            let known = try takenOver(of: instance)
            // It is emptied when it has become large.
            let start = known <= size ? known : 0
            var bytes = try [UInt8](unsafeUninitializedCapacity: min(limit, size - start)) { buffer, count in
                count = try file.read(fromAbsoluteOffset: Int64(start), into: UnsafeMutableRawBufferPointer(buffer))
            }
            if !whole {
                // A line is taken over in one piece, unless it is longer than one.
                let end = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? (bytes.count < limit ? 0 : limit)
                bytes.removeLast(bytes.count - end)
            }
            return bytes.isEmpty ? nil : (bytes, start + bytes.count)
        }
    }

    private func takenOver(of instance: InstanceID) throws -> Int {
        let path = positionPath(of: instance).string
        guard FileManager.default.fileExists(atPath: path) else { return 0 }
        return Int(try String(contentsOfFile: path, encoding: .utf8)) ?? 0
    }

    /// Notes that the VMM's output was taken over up to a position.
    func noteMachineOutput(of instance: InstanceID, upTo position: Int) throws {
        try String(position).write(toFile: positionPath(of: instance).string, atomically: true, encoding: .utf8)
    }
}
