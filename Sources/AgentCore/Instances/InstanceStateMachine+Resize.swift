extension InstanceStateMachine {
    /// One that is Stopped has its size from the next start on; that of a machine is changed, and only then known.
    mutating func requestResize(to size: MachineSize) throws(AgentError) {
        guard instance.desired != .deleted else { throw refused("resized", "it is being deleted") }
        switch instance.state {
        case .stopped: instance.specification.size = size
        case .running:
            guard let machine = instance.description else {
                throw refused("resized", "nothing is stored of its machine")
            }
            let largest = machine.largestSize ?? machine.size
            guard size.vcpus <= largest.vcpus, size.vcpus >= machine.size.vcpus, size.memory <= largest.memory,
                size.memory >= machine.size.memory
            else {
                throw AgentError(
                    .invalidState,
                    code: "no_room",
                    "instance '\(instance.name)' cannot be resized to \(size) while it runs: it was started with room for "
                        + "\(largest), and with \(machine.size) at least; stop it first, or create it with "
                        + "max_vcpus and hotplug_size for more room"
                )
            }
            instance.resizing = size
        default: throw instance.refusal("resized", "Running or Stopped")
        }
    }

    /// What a machine has is what the instance has.
    mutating func resized(to size: MachineSize) {
        instance.resizing = nil
        guard let machine = instance.description else { return }
        instance.specification.size = size
        if machine.currentSize != size { instance.description?.resized = size }
    }
}
