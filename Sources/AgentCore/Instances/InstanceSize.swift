extension InstanceSpecification {
    /// What it is started with, and what it has while it runs.
    public var size: MachineSize {
        get { MachineSize(vcpus: vcpus, memory: memory) }
        set {
            vcpus = newValue.vcpus
            memory = newValue.memory
        }
    }

    /// The most that it can be given while it runs.
    public var largestSize: MachineSize {
        MachineSize(vcpus: max(vcpus, largestVCPUs ?? vcpus), memory: max(memory, largestMemory ?? memory))
    }

    /// A disk of the instance's own with the limit that they share.
    func limited(_ disk: MachineDescription.Disk) -> MachineDescription.Disk {
        var disk = disk
        disk.rateLimit = diskRate
        disk.rateGroup = diskRate.map { _ in "instance" }
        return disk
    }
}

extension MachineSize: CustomStringConvertible {
    public var description: String { "\(vcpus) vCPUs and \(memory)" }
}
