import AgentCore
import Foundation
import Glibc
import SystemPackage

/// What a Cloud Hypervisor writes of a machine (docs/snapshot_restore.md), and what it takes up.
///
/// Its calls block.
enum CloudHypervisorSnapshot {
    static let configName = "config.json"
    static let stateName = "state.json"
    static let memoryName = "memory-ranges"
    /// Ours: which VMM wrote the others.
    static let originName = "vmm.json"
    static let fileNames = [configName, stateName, memoryName]
    /// A machine of many disks has some 20 KiB.
    private static let maximumConfig = 1 << 20

    /// What a snapshot says of where it comes from.
    struct Origin: Codable, Equatable {
        /// As in ``HypervisorInformation/version``.
        var version: String
    }

    /// What a VMM that takes it up opens by links that ``prepare(_:for:_:sandbox:)`` makes.
    static func files(in directory: SnapshotDirectory) -> [ProcessFile] {
        [stateName, memoryName].map { ProcessFile(path: directory.path.appending($0), isWritable: false) }
    }

    /// Adds where it comes from, and returns when all of it is on disk.
    ///
    /// - Throws: ``AgentError`` `storageFull`, `internal`.
    static func complete(_ directory: SnapshotDirectory, version: String) throws {
        let path = directory.path.appending(originName)
        do {
            try JSONEncoder().encode(Origin(version: version)).write(to: URL(filePath: path.string))
            for name in fileNames + [originName] { try sync(directory.path.appending(name)) }
            try sync(directory.path)
        } catch let error as Errno {
            throw failure(error, directory)
        } catch {
            let isFull = (error as? CocoaError)?.code == .fileWriteOutOfSpace
            throw failure(isFull ? .noSpace : .ioError, directory)
        }
    }

    /// - Throws: ``AgentError`` `snapshot_unreadable`.
    static func origin(_ directory: SnapshotDirectory, of instance: InstanceID) throws -> Origin {
        let bytes = try read(directory.path.appending(originName), of: instance)
        do {
            return try JSONDecoder().decode(Origin.self, from: Data(bytes))
        } catch {
            throw unreadable(instance, "\(originName) does not say which version wrote it")
        }
    }

    /// Bytes of memory in it.
    ///
    /// - Throws: ``AgentError`` `snapshot_unreadable`, if one of the files is missing or empty.
    static func memorySize(_ directory: SnapshotDirectory, of instance: InstanceID) throws -> Int {
        var size = 0
        for name in fileNames {
            var status = stat()
            let path = directory.path.appending(name)
            guard lstat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                throw unreadable(instance, "there is no \(path)")
            }
            guard status.st_size > 0 else { throw unreadable(instance, "\(path) is empty") }
            if name == memoryName { size = Int(status.st_size) }
        }
        return size
    }

    /// Makes a directory beside a machine's sockets that is a snapshot in the paths of that machine.
    ///
    /// It has links to the memory and the devices' state, and a configuration of its own. The snapshot itself is left as
    /// it is.
    static func prepare(
        _ directory: SnapshotDirectory,
        for machine: MachineDescription,
        _ files: CloudHypervisorFiles,
        sandbox: [FilePath]?
    ) throws {
        let instance = machine.instance
        let bytes = try read(directory.path.appending(configName), of: instance)
        let parsed = try? JSONSerialization.jsonObject(with: Data(bytes))
        guard let saved = parsed as? [String: Any] else {
            throw unreadable(instance, "\(configName) is not JSON, or not an object")
        }
        let config = try adapt(saved, to: machine, files, sandbox: sandbox)
        files.removeRestore()
        // The VMM may be another user, in the agent's group.
        guard mkdir(files.restore.string, 0o700) == 0, chmod(files.restore.string, 0o750) == 0 else {
            throw AgentError(.unavailable, "cannot make \(files.restore)", cause: Errno(rawValue: errno))
        }
        for name in [stateName, memoryName] {
            guard symlink(directory.path.appending(name).string, files.restore.appending(name).string) == 0 else {
                throw AgentError(.unavailable, "cannot make a link in \(files.restore)", cause: Errno(rawValue: errno))
            }
        }
        let path = files.restore.appending(configName).string
        try JSONSerialization.data(withJSONObject: config, options: [.sortedKeys, .withoutEscapingSlashes])
            .write(to: URL(filePath: path))
        guard chmod(path, 0o640) == 0 else {
            throw AgentError(.unavailable, "cannot hand over \(path)", cause: Errno(rawValue: errno))
        }
    }

    /// A saved configuration with the paths, the TAP device and the MAC address of a machine; all else stays, also what
    /// this version of the agent does not know.
    static func adapt(
        _ saved: [String: Any],
        to machine: MachineDescription,
        _ files: CloudHypervisorFiles,
        sandbox: [FilePath]?
    ) throws -> [String: Any] {
        var config = saved
        var disks = config["disks"] as? [[String: Any]] ?? []
        let wanted = Dictionary(
            machine.disks.map { (DeviceID.disk($0.serial, slot: $0.slot), $0.path.string) },
            uniquingKeysWith: { first, _ in first }
        )
        let found = disks.compactMap { $0["id"] as? String }
        guard Set(found) == Set(wanted.keys), found.count == disks.count else {
            throw unreadable(
                machine.instance,
                "it has the disks \(found.sorted().joined(separator: ", ")), and the machine has "
                    + wanted.keys.sorted().joined(separator: ", ")
            )
        }
        for index in disks.indices {
            if let id = disks[index]["id"] as? String { disks[index]["path"] = wanted[id] }
        }
        config["disks"] = disks

        var cards = config["net"] as? [[String: Any]] ?? []
        let card = machine.card.map { DeviceID.card(slot: $0.slot) }
        guard cards.compactMap({ $0["id"] as? String }) == [card].compactMap({ $0 }) else {
            throw unreadable(machine.instance, "it has \(cards.isEmpty ? "no card" : "another card than the machine")")
        }
        if let card = machine.card {
            cards[0]["tap"] = card.tap
            cards[0]["mac"] = card.mac.description
            cards[0]["mtu"] = nil
            config["net"] = cards
        }

        config["serial"] = merged(config["serial"], ["mode": "Socket", "socket": files.console.string])
        config["vsock"] = merged(config["vsock"], ["socket": files.vsock.string])
        config["payload"] = merged(
            config["payload"],
            ["kernel": files.kernel.string, "initramfs": machine.initrd.string]
        )
        config["landlock_enable"] = sandbox != nil
        config["landlock_rules"] = sandbox.map { directories in
            CloudHypervisorConfig.rules(files, directories).map { ["path": $0.path, "access": $0.access] }
        }
        return config
    }

    static func unreadable(_ instance: InstanceID, _ words: String) -> AgentError {
        AgentError(
            .invalidState,
            code: "snapshot_unreadable",
            "Cloud Hypervisor cannot take up the saved memory of instance \(instance): \(words)"
        )
    }

    /// Why a snapshot could not be written.
    static func failure(_ errno: Errno, _ directory: SnapshotDirectory) -> AgentError {
        guard errno == .noSpace || errno == .diskQuotaExceeded else {
            return AgentError(.internal, code: "storage_error", "cannot write \(directory.path)", cause: errno)
        }
        return AgentError(
            .storageFull,
            "there is no room for the memory in \(directory.path): the host's disk is full; free some space and try again"
        )
    }

    private static func merged(_ value: Any?, _ changes: [String: Any]) -> [String: Any] {
        (value as? [String: Any] ?? [:]).merging(changes) { _, new in new }
    }

    private static func read(_ path: FilePath, of instance: InstanceID) throws -> [UInt8] {
        guard let bytes = ProcessTable.read(path.string, limit: maximumConfig + 1) else {
            throw unreadable(instance, "there is no \(path)")
        }
        guard bytes.count <= maximumConfig else {
            throw unreadable(instance, "\(path) is longer than \(maximumConfig) bytes")
        }
        return bytes
    }

    private static func sync(_ path: FilePath) throws {
        let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
        defer { try? file.close() }
        guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
    }
}
