import AgentCore
import NIOPosix

/// What can be changed of a machine that runs.
extension CloudHypervisorMachine {
    func resize(to size: MachineSize) async throws {
        try await changes.withTurn {
            let config = try await info().config
            let room = config.memory.hotplugSize ?? 0
            // Whole mebibytes at the start, and blocks of virtio-mem, of 2 MiB, beyond.
            let memory = CloudHypervisorConfig.roundUp(size.memory.bytes, to: 1 << 20)
            guard (1...config.cpus.maximum).contains(size.vcpus), memory >= config.memory.size,
                memory <= config.memory.size + room
            else {
                throw AgentError(
                    .invalidArgument,
                    code: "invalid_size",
                    "the machine of instance \(instance) can have 1 to \(config.cpus.maximum) vCPUs and "
                        + "\(ByteSize(bytes: config.memory.size)) to \(ByteSize(bytes: config.memory.size + room)), not "
                        + "\(size.vcpus) and \(size.memory)"
                )
            }
            let added = CloudHypervisorConfig.roundUp(memory - config.memory.size, to: 2 << 20)
            let change = VMResize(vcpus: size.vcpus, memory: room > 0 ? config.memory.size + added : nil)
            try await settling("the vCPUs that were taken from the machine of instance \(instance)") {
                try await self.api.put("vm.resize", change, deadline: self.timing.patience)
            }
        }
    }

    func attach(_ disk: MachineDescription.Disk) async throws {
        let config = try CloudHypervisorConfig.disk(disk)
        try await changes.withTurn {
            let devices = try await info().devices
            try requireFree(disk.slot, in: devices)
            guard !devices.contains(where: { DeviceID.isDisk($0, serial: disk.serial) }) else {
                throw AgentError(
                    .alreadyExists,
                    "the machine of instance \(instance) has a disk \(disk.serial)"
                )
            }
            try await process.permit([disk.file])
            do {
                try await withdrawing(disk) {
                    try await controlling { try await self.api.put("vm.add-disk", config) }
                }
            } catch let error as AgentError where error.refusal?.isDiskLock == true {
                throw AgentError(
                    .invalidState,
                    code: "disk_in_use",
                    "the disk \(disk.serial) of instance \(instance) is in use by another process",
                    cause: error.cause
                )
            }
        }
    }

    func detach(_ disk: MachineDescription.Disk) async throws {
        try await detach("the disk \(disk.serial)") { DeviceID.isDisk($0, serial: disk.serial) }
        // One of the start stays.
        guard try await !info().devices.contains(where: { DeviceID.isDisk($0, serial: disk.serial) }) else { return }
        try await process.forbid([disk.file])
    }

    /// Plugs in a disk whose file the VMM was just permitted, and takes the file back if it fails.
    private func withdrawing(_ disk: MachineDescription.Disk, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            // A task of its own: also for a caller that was cancelled. What cannot be taken back goes with the process.
            await Task { try? await self.process.forbid([disk.file]) }.value
            throw error
        }
    }

    func attach(_ card: MachineDescription.Card) async throws {
        try await changes.withTurn {
            let devices = try await info().devices
            try requireFree(card.slot, in: devices)
            guard !devices.contains(where: DeviceID.isCard) else {
                throw AgentError(.alreadyExists, "the machine of instance \(instance) has a card")
            }
            try await controlling { try await self.api.put("vm.add-net", CloudHypervisorConfig.net(card)) }
        }
    }

    func detachCard() async throws {
        try await detach("its card", DeviceID.isCard)
    }

    private func requireFree(_ slot: Int?, in devices: Set<String>) throws(AgentError) {
        guard let slot, (0..<MachineDescription.slots).contains(slot) else {
            throw AgentError(.invalidArgument, "there is no slot \(slot.map(String.init) ?? "nil")")
        }
        guard !devices.contains(where: { DeviceID.slot(of: $0) == slot }) else {
            throw AgentError(.alreadyExists, "the slot \(slot) of instance \(instance) is taken")
        }
    }

    /// Asks the guest to let go of what was plugged in, and waits until it has.
    private func detach(_ what: String, _ isIt: @Sendable (String) -> Bool) async throws {
        try await changes.withTurn {
            func present() async throws -> String? {
                try await info().devices.first { isIt($0) && DeviceID.slot(of: $0) != nil }
            }
            guard let id = try await present() else { return }
            do {
                try await controlling { try await self.api.put("vm.remove-device", VMRemoveDevice(id: id)) }
            } catch let error as AgentError where error.refusal != nil {
                // Gone meanwhile, or the guest was asked before and has not answered.
                guard try await present() != nil else { return }
            }
            let end = ContinuousClock.now + timing.unplug
            while try await present() != nil {
                guard ContinuousClock.now < end else {
                    throw AgentError(
                        .timeout,
                        code: "device_in_use",
                        "the guest of instance \(instance) did not let go of \(what) in \(timing.unplug)"
                    )
                }
                try await Task.sleep(for: timing.pause)
            }
        }
    }

    /// Repeats a request that the VMM puts off (HTTP status 429) until it is carried out.
    private func settling(_ what: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let end = ContinuousClock.now + timing.settle
        while true {
            do {
                return try await controlling(body)
            } catch let error as AgentError where error.refusal?.status == 429 {
                guard ContinuousClock.now < end else {
                    throw AgentError(
                        .timeout,
                        code: "resize_pending",
                        "the guest has not let go of \(what)",
                        cause: error.cause
                    )
                }
                try await Task.sleep(for: timing.pause)
            }
        }
    }
}
