public import AgentCore
public import Logging
import Synchronization

/// Instances on a bridge of their own, behind iptables, with dnsmasq for DHCP and DNS.
///
/// What protects an instance is there before its device is, and goes after it. Changes of the host come one at a time;
/// reads do not wait for them.
public final class BridgeNetwork: NetworkBackend {
    private struct State {
        var mtu = Network.defaultMTU
        /// What the host was made into; nil before it was, in this life of the agent.
        var prepared: Prepared?
        /// Who is attached, by device.
        var endpoints: [String: NetworkEndpoint] = [:]
        /// Listens for changes of the host, from the first reconcile on.
        var news: HostNews?
    }

    /// What all instances share.
    private struct Prepared {
        var uplink: HostSurvey.Device?
        /// The bridge's number.
        var bridge: Int32
        var firewall: Firewall
    }

    public let name = BridgeNetworkPlugin.name
    let configuration: BridgeConfiguration
    let host: HostNetwork
    let links: HostLinks
    let names: NameService
    let logger: Logger
    public let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation
    var mark: DeviceMark { DeviceMark(bridgeName: configuration.bridge) }
    private let state = Mutex(State())
    private let turn = FairSemaphore(width: 1)

    /// Makes the backend; nothing of the host is looked at or changed before ``reconcile(_:)``.
    public init(configuration: BridgeConfiguration, supervisor: any ProcessSupervisor, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        (changes, change) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        host = HostNetwork(namespace: configuration.namespace)
        links = HostLinks(network: host)
        names = NameService(configuration: configuration, network: host, supervisor: supervisor, logger: logger)
    }

    public var network: Network? {
        Network(
            subnet: configuration.subnet,
            gateway: configuration.gateway,
            isolated: configuration.isolated,
            mtu: state.withLock { $0.mtu },
            domain: BridgeConfiguration.domain,
            capacity: BridgeConfiguration.maximumPorts
        )
    }

    public func attachment(at address: IPv4Address) -> NetworkAttachment {
        let names = DeviceNames(address: address)
        return NetworkAttachment(
            network: Network.defaultID,
            address: address,
            mac: MACAddress(derivedFrom: address),
            tap: names.tap
        )
    }

    // MARK: The whole

    public func reconcile(_ endpoints: [NetworkEndpoint]) async throws {
        try await turn.withTurn {
            // Before the host is looked at, so that no change is missed.
            let news = try await listen()
            let devices = try await links.links()
            let survey = try await survey(of: devices)
            news.watch(survey.concerns(configuration))
            try survey.check(configuration)
            let uplink = try survey.uplink(for: configuration)
            if state.withLock({ $0.prepared == nil }) { try await checkTools() }
            do {
                try await bringInLine(endpoints, uplink: uplink, devices: devices)
                news.watch(survey.concerns(configuration, bridgeMTU: network?.mtu))
            } catch {
                // A host that never had this network is left as it was found.
                if survey.devices.allSatisfy({ $0.name != configuration.bridge }) { await removeAll() }
                throw error
            }
        }
    }

    /// Hears of what happens to the host, if it doesn't yet.
    private func listen() async throws -> HostNews {
        if let news = state.withLock({ $0.news }) { return news }
        let change = change
        do {
            let news = try await host.run { try HostNews { change.yield() } }
            news.start()
            state.withLock { $0.news = news }
            return news
        } catch let error as NetlinkError {
            throw error.agentError
        }
    }

    private func bringInLine(
        _ endpoints: [NetworkEndpoint],
        uplink: HostSurvey.Device?,
        devices: [Link]
    ) async throws {
        let mtu = uplink.map(\.mtu) ?? Network.defaultMTU
        let (before, known) = state.withLock { ($0.prepared, $0.mtu == mtu ? $0.endpoints : [:]) }
        let bridge = try await links.createBridge(bridge(mtu: mtu))
        let firewall = try before.flatMap { $0.uplink?.name == uplink?.name ? $0.firewall : nil } ?? firewall(uplink)
        if try await firewall.install(endpoints), before != nil {
            logger.warning("the firewall's rules were changed by others, and are right again")
        }
        let prepared = Prepared(uplink: uplink, bridge: bridge.index, firewall: firewall)
        let ours = devices.filter { mark.isOnPort($0.alias) }
        try await removeStrangers(in: ours, keeping: Set(endpoints.map(\.attachment.tap)))
        let present = Set(ours.filter { $0.master == bridge.index && $0.isUp }.map(\.name))
        for endpoint in endpoints
        where known[endpoint.attachment.tap] != endpoint || !present.contains(endpoint.attachment.tap) {
            try await links.createTap(tap(for: endpoint, bridge: bridge.index, mtu: mtu))
        }
        try await names.start(mtu: mtu)
        try await names.reconcile(endpoints)
        state.withLock { state in
            state.mtu = mtu
            state.prepared = prepared
            state.endpoints = Dictionary(endpoints.map { ($0.attachment.tap, $0) }) { _, last in last }
        }
    }

    /// Removes, of the devices that carry this network's mark, those that belong to no endpoint.
    private func removeStrangers(in ours: [Link], keeping taps: Set<String>) async throws {
        let kept = Set(taps.flatMap { [$0, DeviceNames.ifb(of: $0)] })
        for link in ours where !kept.contains(link.name) {
            logger.warning("removing a device of no instance", metadata: ["device": "\(link.name)"])
            if link.kind == "tun" {
                try await links.removeTap(
                    named: link.name,
                    address: DeviceNames(tap: link.name)?.address,
                    ifb: DeviceNames.ifb(of: link.name)
                )
            } else {
                try await links.removeLink(named: link.name)
            }
        }
    }

    // MARK: One instance

    public func attach(_ endpoint: NetworkEndpoint) async throws {
        try await turn.withTurn {
            let tap = endpoint.attachment.tap
            let (prepared, before, mtu) = state.withLock { ($0.prepared, $0.endpoints, $0.mtu) }
            guard let prepared else {
                throw AgentError(
                    .unavailable,
                    code: "network_not_ready",
                    "the network is not set up; see the agent's log"
                )
            }
            var times = StepTimes(["instance": "\(endpoint.instance)"])
            do {
                // Ports first: they are what is refused most, and lead nowhere yet.
                try await times.measure("ports") { try await prepared.firewall.publish(endpoint) }
                try await times.measure("frames") { try await prepared.firewall.admit(endpoint) }
                try await times.measure("names") { try await names.put(endpoint) }
                try await times.measure("device") {
                    try await links.createTap(self.tap(for: endpoint, bridge: prepared.bridge, mtu: mtu))
                }
                logger.debug("attached (times in microseconds)", metadata: times.metadata)
            } catch {
                // One that was attached before stays so: only what is new of it was refused.
                if before[tap] == nil { await remove(endpoint, from: prepared.firewall) }
                throw error
            }
            state.withLock { $0.endpoints[tap] = endpoint }
        }
    }

    public func detach(_ endpoint: NetworkEndpoint) async throws {
        try await turn.withTurn {
            // Before the host was prepared in this life, a whole reconcile is still to come and removes it.
            guard let prepared = state.withLock({ $0.prepared }) else { return }
            let failures = await remove(endpoint, from: prepared.firewall)
            if let failure = failures.first { throw failure }
            _ = state.withLock { $0.endpoints.removeValue(forKey: endpoint.attachment.tap) }
        }
    }

    /// Removes all of an endpoint, as far as that goes.
    ///
    /// - Returns: What could not be removed, and why.
    @discardableResult
    private func remove(_ endpoint: NetworkEndpoint, from firewall: Firewall) async -> [any Error] {
        let (tap, address) = (endpoint.attachment.tap, endpoint.attachment.address)
        return await attempts([
            ("ports", { try await firewall.unpublish(endpoint.attachment) }),
            (
                "device",
                { [links] in
                    try await links.removeTap(named: tap, address: address, ifb: DeviceNames.ifb(of: tap))
                }
            ),
            ("admission", { try await firewall.expel(endpoint.attachment) }),
            ("name", { [names] in try await names.remove(endpoint) }),
            // Else the next owner of the address inherits the connections of this one.
            ("connections", { [links] in try await links.flushConnections(of: address) }),
        ])
    }

    /// Does all of several things, whichever of them fail.
    private func attempts(_ steps: [(what: String, body: @Sendable () async throws -> Void)]) async -> [any Error] {
        var failures: [any Error] = []
        for step in steps {
            do {
                try await step.body()
            } catch {
                logger.error("network not removed", metadata: ["what": "\(step.what)", "error": "\(error)"])
                failures.append(error)
            }
        }
        return failures
    }

    public func counters(of attachment: NetworkAttachment) async throws -> NetworkCounters? {
        try await links.statistics(ofTap: attachment.tap)
    }

    // MARK: The end

    public func tearDown() async throws {
        try await turn.withTurn {
            let used = try await marked().filter { $0.kind == "tun" && $0.hasCarrier }
            guard used.isEmpty else {
                throw AgentError(
                    .invalidState,
                    code: "network_in_use",
                    "\(used.count) instances use the bridge '\(configuration.bridge)' "
                        + "(\(used.prefix(5).map(\.name).joined(separator: ", "))); stop them first"
                )
            }
            let failures = await removeAll()
            if let failure = failures.first { throw failure }
        }
    }

    @discardableResult
    private func removeAll() async -> [any Error] {
        let (present, news) = state.withLock { state in
            defer { state = State() }
            return (state.prepared?.firewall, state.news)
        }
        // It would tell of what is removed here.
        news?.stop()
        return await attempts([
            ("name service", { [names] in try await names.stop() }),
            ("devices", { [self] in try await removeStrangers(in: marked(), keeping: []) }),
            // Before the bridge: a setting of its own is put back.
            ("firewall", { [self] in try await (present ?? firewall(nil)).remove() }),
            (
                "bridge",
                { [self] in
                    guard try await links.link(named: configuration.bridge)?.alias == mark.bridge else { return }
                    try await links.removeLink(named: configuration.bridge)
                }
            ),
        ])
    }

    /// The devices that carry this network's mark.
    private func marked() async throws -> [Link] {
        try await links.links().filter { mark.isOnPort($0.alias) }
    }

    /// Leaves everything as it is, for the next life of the agent.
    public func release() async {
        let news = state.withLock { state in
            defer { state.news = nil }
            return state.news
        }
        news?.stop()
        await names.release()
    }
}
