import AgentCore
import Synchronization

/// What is allowed on a bridge network, and the ports that lead into it.
///
/// By default an instance reaches the world through the uplink, and of the host DNS, DHCP and echo on the gateway's
/// address; nobody reaches an instance but the host itself, and others at its published ports. Those are open to
/// everybody who reaches the host, localhost and other instances included, as a server on the host would be. (With
/// br_netfilter's `bridge-nf-call-iptables` on, instances of an isolated bridge do not reach them: the kernel then hands
/// such packets straight from port to port, which isolation forbids. ``findings()`` says so.)
///
/// The rules are in two places: an nft table of the bridge family holds each port to the names of its instance
/// (``FrameRules``), chains of our own in iptables' tables do the rest (``PacketRules``). IPv6 does not get past the
/// first. Calls may come from anywhere and at the same time; changes are made one after the other.
final class Firewall: Sendable {
    let rules: PacketRules
    let network: HostNetwork
    private let frames: FrameFilter
    private let packets: PacketFilter
    private let links: HostLinks
    private let turns = FairSemaphore(width: 1)
    private let others = Mutex<Translations?>(nil)
    private let forwards = Mutex<[PublishedPort.Key: PortForward]>([:])

    /// What rules of others translate, and as of which generation of the kernel's rules.
    private struct Translations {
        var generation: UInt32
        var lines: [String]
    }

    /// - Parameters:
    ///   - configuration: The bridge's.
    ///   - uplink: The interface that leads out; nil if there is none, then nothing is let out.
    /// - Throws: `invalidArgument` for names of devices that rules cannot hold.
    init(_ configuration: BridgeConfiguration, uplink: String?) throws {
        rules = try PacketRules(configuration, uplink: uplink)
        network = HostNetwork(namespace: configuration.namespace)
        frames = FrameFilter(bridge: configuration.bridge, network: network)
        packets = PacketFilter(rules: rules, network: network)
        links = HostLinks(network: network)
    }

    // MARK: All of it

    /// Makes the rules what they should be for these instances, and nobody else; the bridge must be there.
    ///
    /// What is right already is not touched. Rules of others stay what and where they are, only that those which are
    /// before our jumps are then behind.
    ///
    /// - Returns: Whether anything had to be done.
    /// - Throws: `unavailable` if a tool is missing or the kernel refuses, `permissionDenied`.
    @discardableResult
    func install(_ endpoints: [NetworkEndpoint]) async throws -> Bool {
        try await turns.withTurn {
            let wanted = Dictionary(endpoints.flatMap(\.forwards).map { ($0.key, $0) }) { first, _ in first }
            // Nobody is on the network before all that limits them is there.
            let framesChanged = try await frames.install(endpoints.map { FrameRules.Admission($0.attachment) })
            let packetsChanged = try await packets.install(Array(wanted.values))
            forwards.withLock { $0 = wanted }
            return try await setRouteLocalnet(true) || packetsChanged || framesChanged
        }
    }

    /// Removes everything: afterwards the host's rules are, byte for byte, what they were before.
    ///
    /// Idempotent.
    func remove() async throws {
        try await turns.withTurn {
            try await setRouteLocalnet(false)
            try await packets.remove()
            try await frames.remove()
            forwards.withLock { $0 = [:] }
        }
    }

    // MARK: Instances

    /// Lets an instance send in its own name.
    ///
    /// Until its device is the bridge's, and after that: a device that was not admitted is not held to anything, so this
    /// comes first. Idempotent.
    func admit(_ endpoint: NetworkEndpoint) async throws {
        let admission = FrameRules.Admission(endpoint.attachment)
        guard PacketRules.isDevice(admission.tap) else {
            throw AgentError(.invalidArgument, "'\(admission.tap)' is not usable as a network device's name")
        }
        try await turns.withTurn { try await changing { try await frames.admit(admission) } }
    }

    /// Forgets an instance, whose device must be gone already.
    ///
    /// Idempotent.
    func expel(_ attachment: NetworkAttachment) async throws {
        try await turns.withTurn { try await changing { try await frames.expel(tap: attachment.tap) } }
    }

    // MARK: Published ports

    /// Makes the published ports of an instance those of its endpoint, and no others.
    ///
    /// Idempotent.
    ///
    /// - Throws: `alreadyExists` `port_in_use` if another instance or program has one; then nothing was changed.
    func publish(_ endpoint: NetworkEndpoint) async throws {
        try await turns.withTurn {
            let present = forwards.withLock { $0 }
            let wanted = Dictionary(endpoint.forwards.map { ($0.key, $0) }) { first, _ in first }
            for forward in endpoint.forwards where wanted[forward.key] != forward {
                throw Self.inUse(forward, by: "this instance itself, for another of its ports")
            }
            let translations = wanted.isEmpty ? [] : try await translationsOfOthers()
            for forward in wanted.values {
                if let other = present[forward.key] {
                    guard other.address == forward.address else {
                        throw Self.inUse(forward, by: "the instance at \(other.address)")
                    }
                } else if try await isTaken(forward.key, translations) {
                    throw Self.inUse(forward, by: "another program of this host")
                }
            }
            try await change(endpoint.attachment.address, to: wanted)
        }
    }

    /// Takes an instance's published ports back, and ends the connections that came by them.
    ///
    /// Idempotent.
    func unpublish(_ attachment: NetworkAttachment) async throws {
        try await turns.withTurn { try await change(attachment.address, to: [:]) }
    }

    /// Whether a program of this host listens on a port, at any IPv4 address, or another rule leads it elsewhere.
    private func isTaken(_ key: PublishedPort.Key, _ translations: [String]) async throws -> Bool {
        if translations.contains(where: { PacketRules.translates($0, key) }) { return true }
        return try await network.run { try ListeningSockets.contain(key) }
    }

    /// The rules of others that lead what comes to a port elsewhere.
    ///
    /// Read anew only after somebody else changed rules: reading takes the longer the more there are, ours among them.
    private func translationsOfOthers() async throws -> [String] {
        let generation = try await links.generationOfRules()
        if let known = others.withLock({ $0 }), known.generation == generation { return known.lines }
        let lines = rules.translationsOfOthers(in: try await packets.saved())
        others.withLock { $0 = Translations(generation: generation, lines: lines) }
        return lines
    }

    /// Makes a change of our own to the rules, after which what is known of others' is as true as before.
    private func changing(_ body: () async throws -> Void) async throws {
        let before = try await links.generationOfRules()
        try await body()
        let after = try await links.generationOfRules()
        others.withLock { known in
            // A transaction counts one; where it is more, somebody else's was among them.
            if known?.generation == before, after &- before <= 1 { known?.generation = after }
        }
    }

    /// Replaces what leads to one address.
    private func change(_ address: IPv4Address, to wanted: [PublishedPort.Key: PortForward]) async throws {
        let present = forwards.withLock { $0 }
        let old = Set(present.values.filter { $0.address == address })
        let new = Set(wanted.values)
        guard old != new else { return }
        var merged = present
        for forward in old { merged[forward.key] = nil }
        merged.merge(wanted) { _, new in new }
        let all = merged
        try await changing {
            try await packets.publish(
                adding: new.subtracting(old),
                removing: old.subtracting(new),
                all: Array(all.values)
            )
        }
        forwards.withLock { $0 = all }
        try await forget(gone: old.subtracting(new), added: new.subtracting(old))
    }

    /// Ends what came by ports that lead elsewhere now.
    ///
    /// Only the first packet of a connection is looked at for a translation: changes of published ports do not concern
    /// what the kernel remembers until it is forgotten. What came to the host itself by a port that leads to an instance
    /// from now on is forgotten for UDP only: there a peer goes on sending from the same port, while TCP begins anew.
    private func forget(gone: Set<PortForward>, added: Set<PortForward>) async throws {
        guard !gone.isEmpty || added.contains(where: { $0.port.transport == .udp }) else { return }
        let own = Set(try await links.addresses().map(\.address.address))
        try await links.flushConnections { connection in
            gone.contains { $0.covers(connection) && connection.reply.source == $0.address }
                || own.contains(connection.original.destination)
                    && added.contains { $0.port.transport == .udp && $0.covers(connection) }
        }
    }

    private static func inUse(_ forward: PortForward, by whom: String) -> AgentError {
        AgentError(
            .alreadyExists,
            code: "port_in_use",
            "the host's port \(forward.port.hostPort)/\(forward.port.transport.rawValue) is in use by \(whom): "
                + "publish \(forward.port.guestPort) on another one"
        )
    }

    // MARK: Localhost

    /// Lets the host's own connections from 127.0.0.1 to a published port out by the bridge, and their answers in.
    ///
    /// (route_localnet, ip-sysctl in the kernel's documentation.) That opens nothing: of what comes from the bridge only
    /// answers get past our INPUT rules to such an address.
    @discardableResult
    private func setRouteLocalnet(_ isOn: Bool) async throws -> Bool {
        let bridge = rules.bridge
        return try await network.run {
            try Sysctl.set("net/ipv4/conf/\(bridge)/route_localnet", to: isOn ? "1" : "0")
        }
    }
}
