/// What an instance has used since it was last started.
public struct InstanceUsage: Sendable, Hashable {
    /// As it was at that moment; says what it was promised.
    public var instance: Instance
    /// nil while no VMM runs.
    public var machine: MachineCounters?
    /// nil while it isn't attached.
    public var network: NetworkCounters?

    public init(instance: Instance, machine: MachineCounters?, network: NetworkCounters?) {
        self.instance = instance
        self.machine = machine
        self.network = network
    }
}

extension InstanceController {
    /// Asks the VMM's process and the network device.
    ///
    /// - Throws: What the network backend says.
    func usage() async throws -> InstanceUsage {
        let instance = instance
        var counters: MachineCounters?
        if let run {
            do {
                counters = try await run.machine.counters()
            } catch let error as AgentError where error.kind == .invalidState {
                // It has exited a moment ago.
            }
        }
        guard counters != nil, let attachment = instance.attachment else {
            return InstanceUsage(instance: instance, machine: counters, network: nil)
        }
        let traffic = try await context.network.backend.counters(of: attachment)
        return InstanceUsage(instance: instance, machine: counters, network: traffic)
    }
}
