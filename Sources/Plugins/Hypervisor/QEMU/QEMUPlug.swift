import AgentCore
import Glibc

/// What is plugged into a machine while it runs, and taken out.
///
/// What there is, is asked of QEMU each time: another life of the agent may have plugged it in.
struct QEMUPlug {
    let control: QMPClient
    let instance: InstanceID
    let process: any SupervisedProcess
    let removal: QEMURemoval

    /// Whether the host's kernel can carry a card's packets by itself.
    static var hasVhost: Bool { access("/dev/vhost-net", R_OK | W_OK) == 0 }

    /// QEMU's own words for a file whose OFD lock is taken (block/file-posix.c).
    static func saysInUse(_ words: String) -> Bool {
        words.contains("Failed to get") && words.contains(" lock")
    }

    func attach(_ disk: MachineDescription.Disk) async throws {
        let name = try await requireFree(disk.slot)
        guard try await disks()[disk.serial] == nil else {
            throw AgentError(.alreadyExists, "the machine of instance \(instance) has a disk \(disk.serial)")
        }
        do {
            try await process.permit([disk.file])
            try await undoing(disk) {
                try await limit(disk, as: name)
                try await control.execute("blockdev-add", try QEMUDevices.block(disk, as: name))
                // Locks the file, which a block node alone does not.
                try await control.execute("device_add", QEMUDevices.device(disk, as: name))
            }
        } catch let error as AgentError where Self.saysInUse(error.description) {
            throw AgentError(
                .invalidState,
                code: "disk_in_use",
                "the file \(disk.path) is in use by another process",
                cause: error.cause
            )
        }
    }

    /// Makes what limits a disk; those that share it may have it already.
    private func limit(_ disk: MachineDescription.Disk, as name: String) async throws {
        guard let limiter = QEMUDevices.limiter(of: disk, as: name),
            try await children(of: "/objects")[limiter.name] == nil
        else { return }
        try await control.execute("object-add", limiter.object)
    }

    func detach(_ disk: MachineDescription.Disk) async throws {
        let name = try await disks()[disk.serial]
        if let name, QEMUDevices.isSlot(name) { try await removal.remove(name, "the disk \(disk.serial)") }
        try await clear()
        // One of the start stays.
        if name.map(QEMUDevices.isSlot) ?? true { try await process.forbid([disk.file]) }
    }

    func attach(_ card: MachineDescription.Card) async throws {
        _ = try await requireFree(card.slot)
        guard try await cards().isEmpty else {
            throw AgentError(.alreadyExists, "the machine of instance \(instance) has a card")
        }
        try await undoing {
            try await control.execute("netdev_add", QEMUDevices.network(card, vhost: Self.hasVhost))
            try await control.execute("device_add", QEMUDevices.device(card))
        }
    }

    func detachCard() async throws {
        for name in try await cards() where QEMUDevices.isSlot(name) { try await removal.remove(name, "its card") }
        try await clear()
    }

    /// A place's name, with nothing of it left.
    private func requireFree(_ slot: Int?) async throws -> String {
        guard let slot, (0..<MachineDescription.slots).contains(slot) else {
            throw AgentError(.invalidArgument, "there is no slot \(slot.map(String.init) ?? "nil")")
        }
        let name = QEMUDevices.name(ofSlot: slot)
        guard try await devices()[name] == nil else {
            throw AgentError(.alreadyExists, "the slot \(slot) of instance \(instance) is taken")
        }
        try await clear()
        return name
    }

    /// Gives back what belongs to no device any more: its file, its TAP device.
    ///
    /// Also what an earlier life left between two steps.
    private func clear() async throws {
        let devices = try await devices()
        let nodes = try await control.execute(
            "query-named-block-nodes",
            ["flat": true],
            returning: [Node].self
        )
        for node in nodes where QEMUDevices.isSlot(node.name) && devices[node.name] == nil {
            try await whileInUse { try await control.execute("blockdev-del", ["node-name": node.name]) }
        }
        let limiters = try await children(of: "/objects")
        for slot in 0..<MachineDescription.slots {
            let name = QEMUDevices.name(ofSlot: slot)
            let limiter = QEMUDevices.limiter(ofDisk: name)
            guard limiters[limiter] != nil, devices[name] == nil else { continue }
            try await whileInUse { try await control.execute("object-del", ["id": limiter]) }
        }
        if try await cards().isEmpty {
            do {
                try await control.execute("netdev_del", ["id": QEMUDevices.network])
            } catch let error as AgentError where error.cause is QMPFailure {
                // There is none, the one thing that this command can refuse for.
            }
        }
    }

    /// Runs what makes a device, and gives back what was made for it if it fails, also for a caller that was cancelled.
    private func undoing(
        _ disk: MachineDescription.Disk? = nil,
        _ body: () async throws -> Void
    ) async throws {
        do {
            try await body()
        } catch {
            await Task {
                // A QEMU that does not answer shows it at the next command; what is left then goes at the next change.
                try? await clear()
                // What is left of that goes with the process.
                if let disk { try? await process.forbid([disk.file]) }
            }.value
            throw error
        }
    }

    /// A device lets go of its block node a moment after QEMU has said that it is gone.
    private func whileInUse(_ body: () async throws -> Void) async throws {
        var pause = Duration.milliseconds(2)
        while true {
            do {
                return try await body()
            } catch let error as AgentError where error.description.contains("in use") && pause < .seconds(1) {
                try await Task.sleep(for: pause)
                pause *= 2
            }
        }
    }

    private struct Node: Decodable, Sendable {
        var name: String

        enum CodingKeys: String, CodingKey { case name = "node-name" }
    }

    private struct Property: Decodable, Sendable {
        var name: String
        var type: String
    }

    /// The types of all devices that have a name.
    private func devices() async throws -> [String: String] { try await children(of: "/machine/peripheral") }

    /// The names and types of what QEMU has in one of its places.
    private func children(of path: String) async throws -> [String: String] {
        let properties = try await control.execute("qom-list", ["path": path], returning: [Property].self)
        return Dictionary(properties.map { ($0.name, $0.type) }) { first, _ in first }
    }

    private func cards() async throws -> [String] {
        try await devices().filter { $0.value == "child<virtio-net-pci>" }.map(\.key)
    }

    /// The names of the disks by their serials.
    private func disks() async throws -> [String: String] {
        var disks: [String: String] = [:]
        for (name, type) in try await devices() where type == "child<virtio-blk-pci>" {
            do {
                let query = ["path": "/machine/peripheral/\(name)", "property": "serial"]
                disks[try await control.execute("qom-get", query, returning: String.self)] = name
            } catch let error as AgentError where error.cause is QMPFailure {
                // The guest let go of it since.
            }
        }
        return disks
    }
}
