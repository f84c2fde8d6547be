import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import NetworkPlugin

/// A host with a bridge and an uplink, two guests on the bridge, and somebody outside; each a network namespace.
///
///     alice 10.111.0.2 ─ tap-a ┐
///                              ├ hyp0 10.111.0.1 ─ host ─ up0 192.0.2.1 ─ outside 192.0.2.2, 169.254.169.254
///     bob   10.111.0.3 ─ tap-b ┘
struct FirewallWorld: Sendable {
    let host: TestNamespace
    let alice: TestNamespace
    let bob: TestNamespace
    let outside: TestNamespace
    let firewall: Firewall
    let configuration: BridgeConfiguration

    static let gateway = "10.111.0.1"
    static let aliceAddress = "10.111.0.2"
    static let bobAddress = "10.111.0.3"
    static let hostAddress = "192.0.2.1"
    static let outsideAddress = "192.0.2.2"
    static let metadata = "169.254.169.254"

    let aliceEndpoint: NetworkEndpoint
    let bobEndpoint: NetworkEndpoint

    static func endpoint(
        _ name: String,
        _ number: UInt32,
        tap: String,
        ports: [PublishedPort] = []
    ) throws -> NetworkEndpoint {
        let address = IPv4Address(value: 0x0a6f_0000 + number)
        return NetworkEndpoint(
            instance: InstanceID.random(),
            name: try InstanceName(name),
            attachment: NetworkAttachment(
                network: "default",
                address: address,
                mac: MACAddress(derivedFrom: address),
                tap: tap
            ),
            publishedPorts: ports
        )
    }

    /// Runs `body` with all of it, and without any rule.
    ///
    /// - Parameters:
    ///   - isolated: Whether the network is; then its ports are, too.
    ///   - isBridgeFiltered: br_netfilter's setting.
    ///   - body: Has `firewall`, which isn't installed.
    /// - Throws: What `body` does.
    static func with(
        isolated: Bool = true,
        isBridgeFiltered: Bool = false,
        _ body: @Sendable (FirewallWorld) async throws -> Void
    ) async throws {
        try await TestNamespace.with { host in
            try await TestNamespace.with { alice in
                try await TestNamespace.with { bob in
                    try await TestNamespace.with { outside in
                        let configuration = try configuration(bridge: "hyp0", in: host, isolated: isolated)
                        let world = FirewallWorld(
                            host: host,
                            alice: alice,
                            bob: bob,
                            outside: outside,
                            firewall: try Firewall(
                                configuration,
                                uplink: "up0"
                            ),
                            configuration: configuration,
                            aliceEndpoint: try endpoint("alice", 2, tap: "tap-a"),
                            bobEndpoint: try endpoint("bob", 3, tap: "tap-b")
                        )
                        try await world.build(isolated: isolated, isBridgeFiltered: isBridgeFiltered)
                        try await body(world)
                    }
                }
            }
        }
    }

    static func configuration(bridge: String, in host: TestNamespace, isolated: Bool = true) throws
        -> BridgeConfiguration
    {
        BridgeConfiguration(
            bridge: bridge,
            subnet: try #require(IPv4Subnet("10.111.0.0/24")),
            gateway: IPv4Address(value: 0x0a6f_0001),
            dnsServers: [],
            isolated: isolated,
            directory: "/nonexistent",
            namespace: host.name
        )
    }

    private func build(isolated: Bool, isBridgeFiltered: Bool) async throws {
        let isolation = isolated ? "on" : "off"
        try await host.run(
            "sh",
            "-ec",
            """
            sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.default.disable_ipv6=1
            sysctl -qw net.bridge.bridge-nf-call-iptables=\(isBridgeFiltered ? 1 : 0)
            ip link add hyp0 type bridge
            ip addr add \(Self.gateway)/24 dev hyp0
            ip link set hyp0 up
            ip link add up0 type veth peer name eth0 netns \(outside.name)
            ip addr add \(Self.hostAddress)/24 dev up0
            ip link set up0 up
            ip route add 169.254.0.0/16 via \(Self.outsideAddress)
            ip link add tap-a type veth peer name eth0 netns \(alice.name)
            ip link add tap-b type veth peer name eth0 netns \(bob.name)
            for tap in tap-a tap-b; do
              ip link set $tap master hyp0
              bridge link set dev $tap isolated \(isolation)
              ip link set $tap up
            done
            """
        )
        for (guest, own, other) in [
            (alice, aliceEndpoint, Self.bobAddress), (bob, bobEndpoint, Self.aliceAddress),
        ] {
            try await guest.run(
                "sh",
                "-ec",
                """
                sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
                ip link set eth0 address \(own.attachment.mac) up
                ip addr add \(own.attachment.address)/24 dev eth0
                ip route add default via \(Self.gateway)
                \(isolated ? "ip route add \(other)/32 via \(Self.gateway)" : "")
                """
            )
        }
        try await outside.run(
            "sh",
            "-ec",
            """
            ip link set eth0 up
            ip addr add \(Self.outsideAddress)/24 dev eth0
            ip addr add \(Self.metadata)/32 dev lo
            ip addr add 10.111.0.77/32 dev lo
            ip route add 10.111.0.0/24 via \(Self.hostAddress)
            """
        )
    }

    /// The devices that the kernel holds to the names of instances.
    func admitted() async throws -> Set<String> {
        let listing = try NftListing(try await host.run("nft", "-j", "list", "set", "bridge", "hypeman-hyp0", "ports"))
        return Set(listing.sets.flatMap(\.elements).compactMap(\.text))
    }

    /// All of the host's rules, as three programs list them.
    func listing() async throws -> String {
        try await host.rules().joined(separator: "\n")
    }
}
