import AgentCore
import Glibc

/// What is plugged into a machine while it runs, and taken out.
///
/// What there is, is asked of QEMU each time: another life of the agent may have plugged it in.
struct QEMUPlug {
    /// How long a guest may take to let go of something.
    ///
    /// One that runs takes some 50 ms, one that is still booting lets go once its kernel has found the bridge.
    static let patience = Duration.seconds(10)
    /// After this it is asked again: a kernel that boots forgets what it was asked before.
    private static let repetition = Duration.seconds(1)

    let control: QMPClient
    let instance: InstanceID
    let sink: QEMUEventSink

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
            try await control.execute("blockdev-add", try QEMUDevices.block(disk, as: name))
        } catch let error as AgentError where Self.saysInUse(error.description) {
            throw AgentError(
                .invalidState,
                code: "disk_in_use",
                "the file \(disk.path) is in use by another process",
                cause: error.cause
            )
        }
        try await undoing { try await control.execute("device_add", QEMUDevices.device(disk, as: name)) }
    }

    func detachDisk(serial: String) async throws {
        if let name = try await disks()[serial], QEMUDevices.isSlot(name) {
            try await remove(name, "the disk \(serial)")
        }
        try await clear()
    }

    func attach(_ card: MachineDescription.Card) async throws {
        _ = try await requireFree(card.slot)
        guard try await cards().isEmpty else {
            throw AgentError(.alreadyExists, "the machine of instance \(instance) has a card")
        }
        try await control.execute("netdev_add", QEMUDevices.network(card, vhost: Self.hasVhost))
        try await undoing { try await control.execute("device_add", QEMUDevices.device(card)) }
    }

    func detachCard() async throws {
        for name in try await cards() where QEMUDevices.isSlot(name) { try await remove(name, "its card") }
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

    /// Asks the guest to let go of a device until it has.
    private func remove(_ name: String, _ what: String) async throws {
        let departure = sink.departure(of: name)
        try await withDeadline(
            Self.patience,
            "the guest of instance \(instance) did not let go of \(what) within \(Self.patience)"
        ) {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                defer { tasks.cancelAll() }
                tasks.addTask { for await _ in departure {} }
                tasks.addTask {
                    while try await requestRemoval(of: name) { try await Task.sleep(for: Self.repetition) }
                }
                try await tasks.next()
            }
            // A cancelled wait ends as one for a device that is gone does.
            try Task.checkCancellation()
        }
    }

    /// - Returns: false if it is not there any more.
    private func requestRemoval(of name: String) async throws -> Bool {
        do {
            try await control.execute("device_del", ["id": name])
            return true
        } catch let error as AgentError where error.cause is QMPFailure {
            guard try await devices()[name] != nil else { return false }
            // It was asked already, and takes its time.
            guard error.description.contains("in the process of unplug") else { throw error }
            return true
        }
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
        if try await cards().isEmpty {
            do {
                try await control.execute("netdev_del", ["id": QEMUDevices.network])
            } catch let error as AgentError where error.cause is QMPFailure {
                // There is none, the one thing that this command can refuse for.
            }
        }
    }

    /// Runs what makes a device, and gives back what was made for it if it fails, also for a caller that was cancelled.
    private func undoing(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            await Task {
                // A QEMU that does not answer shows it at the next command; what is left then goes at the next change.
                try? await clear()
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
    private func devices() async throws -> [String: String] {
        let path = ["path": "/machine/peripheral"]
        let properties = try await control.execute("qom-list", path, returning: [Property].self)
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
