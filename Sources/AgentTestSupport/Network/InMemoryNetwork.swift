public import AgentCore
import Synchronization

/// The network port in memory: remembers who is attached, and how.
public final class InMemoryNetwork: NetworkBackend {
    private struct State {
        var attached: [String: NetworkEndpoint] = [:]
        var reconciliations = 0
        var failures: [AgentError] = []
    }

    private let state = Mutex(State())
    private let offered: Network

    public let name = "in-memory"
    public var network: Network? { offered }

    /// Makes a network.
    ///
    /// - Parameters:
    ///   - prefixLength: How large it is: 10.100.0.0/16 is the whole of it, its first host the gateway.
    ///   - capacity: How many instances can be attached.
    public init(prefixLength: Int = 16, capacity: Int = 1023) {
        let gateway = IPv4Address(value: 10 << 24 | 100 << 16 | 1)
        guard let subnet = IPv4Subnet(containing: gateway, prefixLength: prefixLength) else {
            preconditionFailure("no prefix length: \(prefixLength)")
        }
        offered = Network(subnet: subnet, gateway: gateway, capacity: capacity)
    }

    /// What is attached now.
    public var attached: [InstanceID: NetworkEndpoint] {
        state.withLock { state in
            Dictionary(state.attached.values.map { ($0.instance, $0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// How often the host was brought in line.
    public var reconciliations: Int { state.withLock { $0.reconciliations } }

    /// Makes the next attach fail.
    public func failAttach(with error: AgentError) { state.withLock { $0.failures.append(error) } }

    public func reconcile(_ endpoints: [NetworkEndpoint]) async throws {
        state.withLock { state in
            state.reconciliations += 1
            state.attached = Dictionary(
                endpoints.map { ($0.attachment.tap, $0) },
                uniquingKeysWith: { first, _ in first }
            )
        }
    }

    public func attachment(at address: IPv4Address) -> NetworkAttachment {
        NetworkAttachment(
            network: offered.id,
            address: address,
            mac: MACAddress(derivedFrom: address),
            tap: "tap-\(String(address.value, radix: 16))"
        )
    }

    public func attach(_ endpoint: NetworkEndpoint) async throws {
        try state.withLock { state in
            if !state.failures.isEmpty { throw state.failures.removeFirst() }
            let others = state.attached.filter { $0.key != endpoint.attachment.tap }
            guard others.count < offered.capacity else {
                throw AgentError(
                    .quotaExceeded,
                    "\(offered.capacity) instances are attached, which is all there can be"
                )
            }
            state.attached[endpoint.attachment.tap] = endpoint
        }
    }

    public func detach(_ endpoint: NetworkEndpoint) async throws {
        _ = state.withLock { $0.attached.removeValue(forKey: endpoint.attachment.tap) }
    }

    public func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters? {
        guard state.withLock({ $0.attached[attachment.tap] }) != nil else { return nil }
        return NetworkCounters(receivedBytes: 0, receivedPackets: 0, sentBytes: 0, sentPackets: 0)
    }

    public func findings() async -> [HostFinding] { [] }

    public func tearDown() async throws { state.withLock { $0.attached = [:] } }
}
