import AgentCore

/// What can be changed of a machine that runs.
extension SimulatedMachine {
    func resize(to size: MachineSize) throws {
        try change { machine in
            let largest = machine.largestSize ?? machine.size
            guard size.vcpus >= 1, size.vcpus <= largest.vcpus, size.memory <= largest.memory,
                size.memory >= machine.size.memory
            else {
                throw AgentError(.invalidArgument, code: "invalid_size", "the machine cannot be resized to \(size)")
            }
            machine.resized = size
        }
    }

    func attach(_ disk: MachineDescription.Disk) throws {
        try change { machine in
            try Self.requireFree(disk.slot, in: machine)
            guard !machine.disks.contains(where: { $0.serial == disk.serial }) else {
                throw AgentError(.alreadyExists, "the machine has a disk \(disk.serial)")
            }
            machine.disks.append(disk)
        }
    }

    func detach(_ disk: MachineDescription.Disk) throws {
        try change { machine in
            machine.disks.removeAll { $0.serial == disk.serial && $0.slot != nil }
        }
    }

    func attach(_ card: MachineDescription.Card) throws {
        try change { machine in
            try Self.requireFree(card.slot, in: machine)
            guard machine.card == nil else { throw AgentError(.alreadyExists, "the machine has a card") }
            machine.card = card
        }
    }

    func detachCard() throws {
        try change { machine in
            if machine.card?.slot != nil { machine.card = nil }
        }
    }

    private static func requireFree(_ slot: Int?, in machine: MachineDescription) throws {
        guard let slot, (0..<MachineDescription.slots).contains(slot) else {
            throw AgentError(.invalidArgument, "there is no slot \(slot.map(String.init) ?? "nil")")
        }
        guard machine.card?.slot != slot, !machine.disks.contains(where: { $0.slot == slot }) else {
            throw AgentError(.alreadyExists, "the slot \(slot) is taken")
        }
    }
}
