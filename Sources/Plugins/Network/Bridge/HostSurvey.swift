import AgentCore

/// What of the host's network decides whether, and how, the bridge can be: looked at before anything is made.
struct HostSurvey: Sendable, Hashable {
    struct Device: Sendable, Hashable {
        var name: String
        /// As the kernel calls it (`bridge`, `veth`); nil for hardware.
        var kind: String?
        var mtu: Int
        var isUp: Bool
        /// Whether it carries the mark of an agent of this kind.
        var isOurs: Bool
        var addresses: [IPv4Subnet]
    }

    struct Route: Sendable, Hashable {
        /// 0.0.0.0/0 for the default route.
        var destination: IPv4Subnet
        var device: String
        /// The smallest wins.
        var metric: Int
    }

    var devices: [Device]
    var routes: [Route]
    /// Whether the host forwards IPv4 at all (net.ipv4.ip_forward).
    var forwards: Bool

    /// What leads out; nil on a host that has no way out, and none was asked for.
    ///
    /// - Throws: `invalidState` if it was asked for and isn't there, or would lead into another system's bridge.
    func uplink(for configuration: BridgeConfiguration) throws(AgentError) -> Device? {
        let name: String
        if let asked = configuration.uplink {
            name = asked
        } else {
            let ways = routes.filter { $0.destination.prefixLength == 0 && $0.device != configuration.bridge }
            guard let way = ways.min(by: { ($0.metric, $0.device) < ($1.metric, $1.device) }) else { return nil }
            name = way.device
        }
        guard let device = devices.first(where: { $0.name == name }) else {
            throw AgentError(
                .invalidState,
                code: "uplink_missing",
                "the uplink '\(name)' does not exist; set UPLINK_INTERFACE to one of: \(candidates(configuration))"
            )
        }
        // A bridge that holds the host's own card is fine, one that others made for their guests leads nowhere.
        guard device.kind != "bridge" || !device.isOurs && !Self.isContainerBridge(name) else {
            throw AgentError(
                .invalidState,
                code: "uplink_is_bridge",
                "'\(name)' is a bridge of another system and cannot be the uplink; "
                    + "set UPLINK_INTERFACE to one of: \(candidates(configuration))"
            )
        }
        return device
    }

    /// The devices whose changes matter to the network: its bridge, whose MTU is known where it has been brought in line
    /// since, and what leads out or should.
    func concerns(_ configuration: BridgeConfiguration, bridgeMTU: Int? = nil) -> [String: HostNews.Device?] {
        // A way out that is refused is none that could change for the better by itself.
        let names = [configuration.bridge, configuration.uplink ?? (try? uplink(for: configuration))?.name]
        var concerns: [String: HostNews.Device?] = [:]
        for name in names.compactMap({ $0 }) {
            let device = devices.first { $0.name == name }.map { HostNews.Device(isUp: $0.isUp, mtu: $0.mtu) }
            concerns.updateValue(device, forKey: name)
        }
        if let bridgeMTU {
            concerns.updateValue(HostNews.Device(isUp: true, mtu: bridgeMTU), forKey: configuration.bridge)
        }
        return concerns
    }

    /// Those that container engines and libvirt make for guests of their own.
    private static func isContainerBridge(_ name: String) -> Bool {
        ["docker", "br-", "virbr", "lxdbr", "incusbr", "podman", "cni"].contains { name.hasPrefix($0) }
    }

    private func candidates(_ configuration: BridgeConfiguration) -> String {
        let names = devices.filter { device in
            device.isUp && device.name != "lo" && !device.isOurs && device.name != configuration.bridge
                && device.kind != "bridge" && device.kind != "tun"
        }.map(\.name)
        return names.isEmpty ? "(there is none that is up)" : names.joined(separator: ", ")
    }

    /// Refuses a host that the bridge cannot be on.
    ///
    /// - Throws: `invalidState` with what is in the way and what to set instead.
    func check(_ configuration: BridgeConfiguration) throws(AgentError) {
        guard forwards else {
            throw AgentError(
                .invalidState,
                code: "forwarding_off",
                "this host does not forward packets; run `\(Self.forwardingFix)`"
            )
        }
        try checkConflicts(configuration)
    }

    private static let forwardingFix =
        "echo net.ipv4.ip_forward=1 > /etc/sysctl.d/60-hypeman.conf && sysctl --system"

    var forwardingFinding: HostFinding {
        let subject = "net.ipv4.ip_forward"
        guard !forwards else { return HostFinding(.ok, subject, "is on") }
        let message = "is off: instances reach nothing beyond the host, and the agent does not set up their network"
        return HostFinding(.error, subject, message, fix: Self.forwardingFix)
    }

    /// Refuses a configuration that would break something that is there already.
    func checkConflicts(_ configuration: BridgeConfiguration) throws(AgentError) {
        if let bridge = devices.first(where: { $0.name == configuration.bridge }) { try check(bridge, configuration) }
        let others = routes.filter { $0.destination.prefixLength > 0 && $0.device != configuration.bridge }
        if let route = others.first(where: { $0.destination.overlaps(configuration.subnet) }) {
            throw conflict(configuration, "the route to \(route.destination) over '\(route.device)'")
        }
        for device in devices where device.name != configuration.bridge {
            if let address = device.addresses.first(where: { $0.overlaps(configuration.subnet) }) {
                throw conflict(configuration, "the addresses \(address) of '\(device.name)'")
            }
        }
    }

    private func check(_ bridge: Device, _ configuration: BridgeConfiguration) throws(AgentError) {
        guard bridge.kind == "bridge" else {
            throw AgentError(
                .invalidState,
                code: "bridge_name_taken",
                "'\(bridge.name)' is a device of another kind (\(bridge.kind ?? "hardware")); "
                    + "set BRIDGE_NAME to a name that is free"
            )
        }
        let own = IPv4Subnet(containing: configuration.gateway, prefixLength: configuration.subnet.prefixLength)
        if let foreign = bridge.addresses.first(where: { $0 != own }) {
            throw AgentError(
                .invalidState,
                code: "bridge_in_use",
                "the bridge '\(bridge.name)' carries addresses of \(foreign), not of \(configuration.subnet): "
                    + "set BRIDGE_NAME to a name that is free, or SUBNET_CIDR to what the bridge has; an agent's own bridge "
                    + "is removed by `hypeman-agent network teardown`"
            )
        }
        guard bridge.isOurs || bridge.addresses.isEmpty else {
            throw AgentError(
                .invalidState,
                code: "bridge_in_use",
                "the bridge '\(bridge.name)' was not made by this agent and has an address; set BRIDGE_NAME to a name "
                    + "that is free"
            )
        }
    }

    private func conflict(_ configuration: BridgeConfiguration, _ what: String) -> AgentError {
        let advice = freeSubnet(like: configuration.subnet).map { "; \($0) is free: set SUBNET_CIDR to it" } ?? ""
        return AgentError(
            .invalidState,
            code: "subnet_in_use",
            "the subnet \(configuration.subnet) overlaps \(what)\(advice)"
        )
    }

    /// A block of the same size that nothing on this host uses, from the private ranges (RFC 1918).
    private func freeSubnet(like subnet: IPv4Subnet) -> IPv4Subnet? {
        let used = routes.map(\.destination).filter { $0.prefixLength > 0 } + devices.flatMap(\.addresses)
        for range in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].compactMap({ IPv4Subnet($0) }) {
            guard range.prefixLength <= subnet.prefixLength else { continue }
            let count = UInt32(1) << UInt32(subnet.prefixLength - range.prefixLength)
            // Not the first ones, which everybody takes.
            for number in (0..<min(count, 256)).map({ ($0 &+ count / 2) % count }) {
                let base = range.base + number << UInt32(32 - subnet.prefixLength)
                guard let block = IPv4Subnet(containing: base, prefixLength: subnet.prefixLength) else { continue }
                if !used.contains(where: { $0.overlaps(block) }) { return block }
            }
        }
        return nil
    }
}
