import AgentCore

/// The size of a machine that runs: vCPUs that are plugged in and taken out, and a device that has memory.
///
/// What there is, is asked of QEMU each time: another life of the agent may have changed it.
struct QEMUResize {
    let control: QMPClient
    let instance: InstanceID
    let removal: QEMURemoval
    /// What runs the vCPUs.
    let accelerator: Accelerator

    /// What a machine is and can be.
    struct Bounds: Sendable {
        /// A vCPU that is or can be.
        struct Processor: Decodable, Sendable {
            struct Place: Codable, Sendable {
                var socket: Int
                var core: Int
                var thread: Int

                enum CodingKeys: String, CodingKey {
                    case socket = "socket-id"
                    case core = "core-id"
                    case thread = "thread-id"
                }
            }

            var type: String
            var props: Place
            /// nil for one that is not plugged in.
            var path: String?

            enum CodingKeys: String, CodingKey {
                case type, props
                case path = "qom-path"
            }
        }

        /// By their numbers.
        let processors: [Processor]
        /// The memory from the start.
        let base: Int
        /// What can be added, and what is asked for of it; nil is nothing.
        let room: Room?

        struct Room: Decodable, Sendable {
            var most: Int
            var requested: Int

            enum CodingKeys: String, CodingKey {
                case most = "max-size"
                case requested = "requested-size"
            }
        }

        private struct Summary: Decodable, Sendable {
            var base: Int

            enum CodingKeys: String, CodingKey { case base = "base-memory" }
        }

        private struct Device: Decodable, Sendable {
            var type: String
            var data: Room?

            enum CodingKeys: String, CodingKey { case type, data }

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                type = try container.decode(String.self, forKey: .type)
                // Other kinds say other things.
                data = type == "virtio-mem" ? try container.decode(Room.self, forKey: .data) : nil
            }
        }

        /// Asks a machine.
        ///
        /// - Returns: nil for one that has no room in either.
        init?(_ control: QMPClient) async throws {
            let processors = try await control.execute(
                "query-hotpluggable-cpus",
                QMPNothing?.none,
                returning: [Processor].self
            ).sorted { ($0.props.core, $0.props.thread) < ($1.props.core, $1.props.thread) }
            let devices = try await control.execute("query-memory-devices", QMPNothing?.none, returning: [Device].self)
            room = devices.compactMap(\.data).first
            guard room != nil || processors.contains(where: { $0.path == nil }) || processors.count > 1 else {
                return nil
            }
            self.processors = processors
            base = try await control.execute("query-memory-size-summary", QMPNothing?.none, returning: Summary.self)
                .base
        }

        var current: MachineSize {
            MachineSize(
                vcpus: processors.count { $0.path != nil },
                memory: ByteSize(bytes: base + (room?.requested ?? 0))
            )
        }
    }

    /// Adds what is to be added and takes out what is to be taken out.
    ///
    /// - Throws: `invalidArgument` beyond the bounds, or if vCPUs cannot be taken out; `timeout` if the guest does not let go of a vCPU.
    func resize(to size: MachineSize) async throws {
        let bounds = try await Bounds(control)
        let addition =
            (max(size.memory.bytes - (bounds?.base ?? 0), 0) + QEMURoom.block - 1) / QEMURoom.block
            * QEMURoom.block
        guard let bounds, (1...bounds.processors.count).contains(size.vcpus), size.memory.bytes >= bounds.base,
            addition <= bounds.room?.most ?? 0
        else {
            let words = bounds.map {
                "it has room for \($0.processors.count) vCPUs and memory from \(ByteSize(bytes: $0.base)) to "
                    + "\(ByteSize(bytes: $0.base + ($0.room?.most ?? 0)))"
            }
            throw AgentError(
                .invalidArgument,
                code: "invalid_size",
                "the machine of instance \(instance) cannot be resized to \(size.vcpus) vCPUs and \(size.memory) while it "
                    + "runs: \(words ?? "it was started without room for more")"
            )
        }
        try requireRemovable(bounds.processors.dropFirst(size.vcpus).compactMap(\.path))
        for (number, processor) in bounds.processors.enumerated() {
            switch (processor.path, number < size.vcpus) {
            case (nil, true): try await add(processor, number)
            case (let path?, false): try await removal.remove(path, "vCPU \(number)")
            default: break
            }
        }
        guard let room = bounds.room, room.requested != addition else { return }
        try await control.execute("qom-set", Request(value: addition))
    }

    /// Whether vCPUs can be taken out.
    ///
    /// The emulator of QEMU 7.2 keeps a listener on the address space of a vCPU that has gone, and ends when it calls that:
    /// when the memory is next saved.
    private func requireRemovable(_ processors: [String]) throws(AgentError) {
        let words: String
        if processors.isEmpty {
            return
        } else if accelerator == .tcg {
            words = "fewer vCPUs while it runs under software emulation"
        } else if processors.contains(where: { !$0.hasPrefix("/machine/peripheral/") }) {
            // Those of the start have no name.
            words = "fewer vCPUs than it was started with while it runs"
        } else {
            return
        }
        throw AgentError(
            .invalidArgument,
            code: "invalid_size",
            "the machine of instance \(instance) cannot have \(words): stop the instance first"
        )
    }

    /// How much memory the device is to have; the guest takes it and gives it back in its own time.
    private struct Request: Encodable, Sendable {
        var path = "/machine/peripheral/\(QEMURoom.device)"
        var property = "requested-size"
        var value: Int
    }

    private func add(_ processor: Bounds.Processor, _ number: Int) async throws {
        try await control.execute(
            "device_add",
            [
                "driver": .string(processor.type), "id": .string(QEMURoom.name(ofProcessor: number)),
                "socket-id": .int(processor.props.socket), "core-id": .int(processor.props.core),
                "thread-id": .int(processor.props.thread),
            ] as QEMUValue
        )
    }
}
