public import AgentCore
import Synchronization

/// The network port in memory: hands out addresses of 10.100.0.0/16 and remembers whom it gave them.
public final class InMemoryNetwork: NetworkBackend {
    private struct State {
        var addresses: [InstanceID: Int] = [:]
        var attached: [InstanceID: NetworkAttachment] = [:]
        var preparations = 0
        var failures: [AgentError] = []
    }

    private let state = Mutex(State())

    public let name = "in-memory"
    public let providesNetwork = true

    public init() {}

    /// What is attached now.
    public var attached: [InstanceID: NetworkAttachment] { state.withLock { $0.attached } }

    /// How often the host was prepared.
    public var preparations: Int { state.withLock { $0.preparations } }

    /// Makes the next attach fail.
    public func failAttach(with error: AgentError) { state.withLock { $0.failures.append(error) } }

    public func prepareHost() async throws { state.withLock { $0.preparations += 1 } }

    public func attach(_ instance: InstanceID, previous: NetworkAttachment?) async throws -> NetworkAttachment? {
        try state.withLock { state in
            if !state.failures.isEmpty { throw state.failures.removeFirst() }
            if let attachment = state.attached[instance] { return attachment }
            // The gateway is .0.1, so the first instance gets .0.2.
            let number = state.addresses[instance] ?? state.addresses.count + 2
            state.addresses[instance] = number
            let low = String(number & 0xff, radix: 16)
            let fresh = NetworkAttachment(
                network: "default",
                mac: "02:00:00:00:00:\(low.count == 1 ? "0" : "")\(low)",
                address: "10.100.\(number >> 8).\(number & 0xff)",
                prefixLength: 16,
                gateway: "10.100.0.1",
                nameServers: ["10.100.0.1"],
                mtu: 1500,
                tap: nil
            )
            var attachment = previous ?? fresh
            attachment.tap = "hype-\(number)"
            state.attached[instance] = attachment
            return attachment
        }
    }

    public func detach(_ instance: InstanceID, _ attachment: NetworkAttachment) async throws {
        state.withLock { $0.attached[instance] = nil }
    }
}
