import Synchronization

/// The sums that instances may take of the host, checked before any of it is taken.
///
/// An instance holds what it was promised from its admission until it is Stopped or in Standby.
final class InstanceAdmission: Sendable {
    /// The code of a refusal.
    static let refusal = "resources_exhausted"

    private let vcpus: Int?
    private let memory: ByteSize?
    private let directory: InstanceDirectory
    /// What was admitted and may not stand in the directory yet; one instance may be there twice.
    private let pending = Mutex<(next: Int, sizes: [Int: (id: InstanceID, size: MachineSize)])>((0, [:]))

    init(_ configuration: InstancesConfiguration, _ directory: InstanceDirectory) {
        vcpus = configuration.totalVCPUs
        memory = configuration.totalMemory
        self.directory = directory
    }

    /// Runs `body`, after which the instance has a size or does not run, with room for it.
    ///
    /// - Parameters:
    ///   - instance: Which; what it holds already counts as its own.
    ///   - size: What it is to have.
    ///   - body: What gives it that.
    /// - Returns: What `body` returns.
    /// - Throws: `quotaExceeded` with ``refusal`` if the room is others'; what `body` throws.
    nonisolated(nonsending) func admitting<Result>(
        _ instance: Instance,
        _ size: MachineSize,
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        guard vcpus != nil || memory != nil else { return try await body() }
        let number = try admit(instance, size)
        defer { pending.withLock { $0.sizes[number] = nil } }
        return try await body()
    }

    private func admit(_ instance: Instance, _ size: MachineSize) throws(AgentError) -> Int {
        try pending.withLock { pending throws(AgentError) in
            var holders = held()
            for (id, size) in pending.sizes.values {
                let before = holders[id]?.size ?? MachineSize(vcpus: 0, memory: ByteSize(bytes: 0))
                let name = holders[id]?.name ?? directory.get(id)?.name.rawValue ?? id.rawValue
                holders[id] = (
                    name, MachineSize(vcpus: max(before.vcpus, size.vcpus), memory: max(before.memory, size.memory))
                )
            }
            let own = holders.removeValue(forKey: instance.id)?.size
            if let vcpus {
                let amounts = holders.values.map { (name: $0.name, amount: $0.size.vcpus) }
                let sum = Sum(variable: "MAX_TOTAL_VCPUS", limit: vcpus, holders: amounts) { "\($0)" }
                try sum.check(
                    size.vcpus,
                    beside: own?.vcpus ?? 0,
                    "\(size.vcpus) vCPUs for instance '\(instance.name)'"
                )
            }
            if let memory {
                let amounts = holders.values.map { (name: $0.name, amount: $0.size.memory.bytes) }
                let sum = Sum(variable: "MAX_TOTAL_MEMORY", limit: memory.bytes, holders: amounts) {
                    "\(ByteSize(bytes: $0))"
                }
                let what = "memory of \(size.memory) for instance '\(instance.name)'"
                try sum.check(size.memory.bytes, beside: own?.memory.bytes ?? 0, what)
            }
            pending.next += 1
            pending.sizes[pending.next] = (instance.id, size)
            return pending.next
        }
    }

    private func held() -> [InstanceID: (name: String, size: MachineSize)] {
        var holders: [InstanceID: (name: String, size: MachineSize)] = [:]
        for instance in directory.all() where instance.state != .stopped && instance.state != .standby {
            let (size, wanted) = (instance.specification.size, instance.resizing ?? instance.specification.size)
            holders[instance.id] = (
                instance.name.rawValue,
                MachineSize(vcpus: max(size.vcpus, wanted.vcpus), memory: max(size.memory, wanted.memory))
            )
        }
        return holders
    }

    /// One of the sums, and what others hold of it.
    private struct Sum {
        let variable: String
        let limit: Int
        let holders: [(name: String, amount: Int)]
        let write: (Int) -> String

        /// Nobody is refused who does not want more than he has, also where a limit was lowered since.
        func check(_ asked: Int, beside own: Int, _ what: String) throws(AgentError) {
            let left = limit - holders.reduce(0) { $0 + $1.amount }
            guard asked > left, asked > own else { return }
            let most = holders.sorted { ($1.amount, $0.name) < ($0.amount, $1.name) }
            let names = most.prefix(5).map { "\($0.name) \(write($0.amount))" }.joined(separator: ", ")
            let more = most.count > 5 ? " and \(most.count - 5) more" : ""
            throw AgentError(
                .quotaExceeded,
                code: InstanceAdmission.refusal,
                "\(what) is more than the \(write(max(left, 0))) that is left of the \(write(limit)) that \(variable) "
                    + "allows" + (most.isEmpty ? "" : "; held by \(names)\(more)")
            )
        }
    }
}
