public import AgentCore
import Synchronization

/// The network port in memory: remembers who is attached, and how.
///
/// What is attached is the host's, and stays when the agent dies; ``restarted(as:)`` makes the backend of its next life.
public final class InMemoryNetwork: NetworkBackend {
    /// A call of the port, to make it fail or hang.
    public enum Call: String, Sendable, Hashable {
        case reconcile, attach, detach
    }

    private enum Injection: Sendable {
        case failure(AgentError)
        /// Until it is cancelled, before or after it does its work.
        case hang(afterwards: Bool)
    }

    private struct State {
        var attached: [String: NetworkEndpoint] = [:]
        var reconciliations: [[NetworkEndpoint]] = []
        var injections: [Call: [Injection]] = [:]
        var hanging = 0
        var traffic: [String: NetworkCounters] = [:]
    }

    /// The host, which several lives of the agent share.
    private final class Host: Sendable {
        let state = Mutex(State())
        let calls = Mutex<PortCalls?>(nil)
    }

    private let host: Host
    private let death = OneShot<Void>()
    private let offered: Network?
    public let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation

    public let name = "in-memory"
    public var network: Network? { offered }

    /// Makes a network of its own.
    ///
    /// - Parameters:
    ///   - subnet: The whole of it, its first host the gateway.
    ///   - capacity: How many instances can be attached.
    public convenience init(subnet: String = "10.100.0.0/16", capacity: Int = 1023) {
        self.init(Host(), Self.network(subnet, capacity: capacity))
    }

    private init(_ host: Host, _ network: Network?) {
        self.host = host
        offered = network
        (changes, change) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    private static func network(_ subnet: String, capacity: Int) -> Network {
        guard let subnet = IPv4Subnet(subnet) else { preconditionFailure("'\(subnet)' is not a subnet") }
        return Network(subnet: subnet, gateway: subnet.base + 1, capacity: capacity)
    }

    /// The backend of the agent's next life, on the same host; this one does nothing any more, as a dead process does.
    ///
    /// - Parameter subnet: As it is configured then; nil for no network at all.
    /// - Returns: The backend.
    public func restarted(as subnet: String?) -> InMemoryNetwork {
        host.state.withLock { $0.injections = [:] }
        death.fulfil(())
        return InMemoryNetwork(host, subnet.map { Self.network($0, capacity: offered?.capacity ?? 1023) })
    }

    /// Has each call heard of from now on.
    func report(to calls: PortCalls) { host.calls.withLock { $0 = calls } }

    // MARK: What a test does to it

    /// What is attached now.
    public var attached: [InstanceID: NetworkEndpoint] {
        host.state.withLock { state in
            Dictionary(state.attached.values.map { ($0.instance, $0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// With what the host was brought in line so far.
    public var reconciliations: [[NetworkEndpoint]] { host.state.withLock { $0.reconciliations } }

    /// How many calls hang now.
    public var hanging: Int { host.state.withLock { $0.hanging } }

    /// Makes the next `times` calls fail, before they do anything.
    public func fail(_ call: Call, with error: AgentError, times: Int = 1) {
        host.state.withLock { $0.injections[call, default: []] += Array(repeating: .failure(error), count: times) }
    }

    /// Makes the next call wait until it is cancelled, before or after it did its work.
    public func hang(_ call: Call, afterwards: Bool = false) {
        host.state.withLock { $0.injections[call, default: []].append(.hang(afterwards: afterwards)) }
    }

    /// Something else on the host removes a device.
    public func lose(_ endpoint: NetworkEndpoint) {
        _ = host.state.withLock { $0.attached.removeValue(forKey: endpoint.attachment.tap) }
    }

    /// The host changes in a way that the network has to follow.
    public func tellOfChange() { change.yield() }

    /// What is counted for a device from now on.
    public func count(_ counters: NetworkCounters, for attachment: NetworkAttachment) {
        host.state.withLock { $0.traffic[attachment.tap] = counters }
    }

    // MARK: The port

    public func reconcile(_ endpoints: [NetworkEndpoint]) async throws {
        try await perform(.reconcile) { state in
            state.reconciliations.append(endpoints)
            guard self.offered != nil else { return }
            state.attached = Dictionary(
                endpoints.map { ($0.attachment.tap, $0) },
                uniquingKeysWith: { first, _ in first }
            )
        }
    }

    public func attachment(at address: IPv4Address) -> NetworkAttachment {
        NetworkAttachment(
            network: offered?.id ?? name,
            address: address,
            mac: MACAddress(derivedFrom: address),
            tap: "tap-\(String(address.value, radix: 16))"
        )
    }

    public func attach(_ endpoint: NetworkEndpoint) async throws {
        guard let offered else { throw AgentError(.notSupported, code: "network_unavailable", "there is no network") }
        try await perform(.attach) { state in
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
        try await perform(.detach) { state in
            guard self.offered != nil else { return }
            state.attached[endpoint.attachment.tap] = nil
        }
    }

    public func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters? {
        host.state.withLock { state in
            guard state.attached[attachment.tap] != nil else { return nil }
            return state.traffic[attachment.tap]
                ?? NetworkCounters(receivedBytes: 0, receivedPackets: 0, sentBytes: 0, sentPackets: 0)
        }
    }

    public func findings() async -> [HostFinding] { [] }

    public func tearDown() async throws { host.state.withLock { $0.attached = [:] } }

    private func perform(_ call: Call, _ body: (inout State) throws -> Void) async throws {
        try await host.calls.withLock { $0 }?.enter("network.\(call.rawValue)")
        let injection = try host.state.withLock { state -> Injection? in
            try requireLife()
            guard let injections = state.injections[call], !injections.isEmpty else { return nil }
            return state.injections[call]?.removeFirst()
        }
        if case .failure(let error) = injection { throw error }
        if case .hang(afterwards: false) = injection { try await hang() }
        try host.state.withLock { state in
            try requireLife()
            try body(&state)
        }
        if case .hang(afterwards: true) = injection { try await hang() }
    }

    private func requireLife() throws {
        if death.value != nil { throw AgentError(.unavailable, "this life of the agent has ended") }
    }

    private func hang() async throws {
        host.state.withLock { $0.hanging += 1 }
        defer { host.state.withLock { $0.hanging -= 1 } }
        // Also for a caller that is not cancelled: the process is gone.
        try await death.wait()
        try requireLife()
    }
}
