import AgentCore
import AgentTestSupport
import HypervisorPlugin
import Logging
import SystemPackage
import Testing

@testable import NetworkPlugin

/// The whole backend in a namespace, with the real tools; machines and what is in them are other tests'.
@Suite(.serialized) struct BridgeNetworkTests {
    /// A host with a way out.
    private static func with(
        uplink: String? = nil,
        _ body: (TestNamespace, BridgeNetwork) async throws -> Void
    ) async throws {
        try await Scratch.with { scratch async throws in
            try await TestNamespace.with { host async throws in
                try await host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "far0")
                try await host.run("ip", "address", "add", "192.0.2.1/24", "dev", "up0")
                for link in ["up0", "far0"] { try await host.run("ip", "link", "set", link, "up") }
                try await host.run("ip", "route", "add", "default", "via", "192.0.2.2")
                try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                let network = try Self.network(in: host, scratch, uplink: uplink)
                do {
                    try await body(host, network)
                } catch {
                    try await network.tearDown()
                    throw error
                }
                try await network.tearDown()
            }
        }
    }

    private static func network(
        in host: TestNamespace,
        _ scratch: Scratch,
        bridge: String = "vmbr0",
        subnet: String = "10.100.0.0/24",
        uplink: String? = nil
    ) throws -> BridgeNetwork {
        let block = try #require(IPv4Subnet(subnet))
        let logger = Logger(label: "network", factory: { _ in SwiftLogNoOpLogHandler() })
        return BridgeNetwork(
            configuration: BridgeConfiguration(
                bridge: bridge,
                subnet: block,
                gateway: IPv4Address(value: block.hosts.lowerBound),
                uplink: uplink,
                dnsServers: [IPv4Address(value: 0xc000_0202)],
                directory: scratch.appending(bridge),
                namespace: host.name
            ),
            supervisor: ChildProcessSupervisor(logger: logger),
            logger: logger
        )
    }

    private static func endpoint(_ number: UInt32, of network: BridgeNetwork) throws -> NetworkEndpoint {
        NetworkEndpoint(
            instance: .random(),
            name: try InstanceName("instance-\(number)"),
            attachment: network.attachment(at: network.configuration.gateway + number)
        )
    }

    @Test(arguments: NetworkConformance.claims)
    func itIsANetworkBackend(_ claim: ConformanceClaim<any NetworkBackend>) async throws {
        try await Self.with { _, network async throws in try await claim.check(network) }
    }

    /// What is in the namespace that the network's life could change.
    private static func state(of host: TestNamespace) async throws -> [String] {
        [
            try await host.run("ip", "link"), try await host.run("ip", "-4", "address"),
            try await host.run("ip", "route"), try await host.rules().joined(separator: "\n"),
        ]
    }

    /// What is not the same, line by line.
    private static func difference(_ before: [String], _ after: [String]) -> [String] {
        zip(before, after).flatMap { before, after in
            after.split(separator: "\n").difference(from: before.split(separator: "\n")).map { change in
                switch change {
                case .insert(_, let line, _): "+ \(line)"
                case .remove(_, let line, _): "- \(line)"
                }
            }
        }
    }

    @Test func afterATearDownTheHostIsWhatItWas() async throws {
        try await Self.with { host, network async throws in
            try await host.run("iptables", "-P", "FORWARD", "DROP")
            try await host.run("iptables", "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
            let before = try await Self.state(of: host)
            var endpoint = try Self.endpoint(1, of: network)
            endpoint.publishedPorts = [PublishedPort(hostPort: 8080, guestPort: 80)]
            endpoint.limits = BandwidthLimits(
                download: BitRate(bitsPerSecond: 10_000_000),
                upload: BitRate(bitsPerSecond: 5_000_000)
            )
            try await network.reconcile([])
            try await network.attach(endpoint)
            #expect(try await Self.state(of: host) != before)
            try await network.detach(endpoint)
            try await network.tearDown()
            let difference = Self.difference(before, try await Self.state(of: host))
            #expect(difference == [])
        }
    }

    /// Brings the network in line after each change that it tells of, until something holds.
    private static func follow(
        _ network: BridgeNetwork,
        until what: String,
        _ holds: @escaping @Sendable () async throws -> Bool
    ) async throws {
        try await withDeadline(.seconds(60), clock: ContinuousClock(), what) {
            for await _ in network.changes {
                try await network.reconcile([])
                if try await holds() { return }
            }
        }
    }

    @Test func aChangeOfTheWayOutIsToldAndFollowed() async throws {
        try await Self.with { host, network async throws in
            try await network.reconcile([])
            try await host.run("ip", "link", "add", "up1", "type", "veth", "peer", "name", "far1")
            try await host.run("ip", "address", "add", "198.51.100.1/24", "dev", "up1")
            for link in ["up1", "far1"] { try await host.run("ip", "link", "set", link, "up") }
            try await host.run("ip", "route", "replace", "default", "via", "198.51.100.2")
            try await Self.follow(network, until: "the new uplink") {
                try await host.run("iptables-nft-save").contains("-i vmbr0 -o up1 -j ACCEPT")
            }
            try await host.run("ip", "link", "set", "up1", "mtu", "1400")
            try await Self.follow(network, until: "the uplink's MTU") { network.network?.mtu == 1400 }
            try await host.run("ip", "link", "del", "vmbr0")
            try await Self.follow(network, until: "a new bridge") {
                try await host.run("ip", "-4", "address").contains("10.100.0.1/24")
            }
            try await host.run("ip", "route", "del", "default")
            try await Self.follow(network, until: "no way out") {
                try await !host.run("iptables-nft-save").contains("-o up1")
            }
        }
    }

    @Test func twoNetworksOnOneHostDoNotDisturbEachOther() async throws {
        try await Self.with { host, one async throws in
            try await Scratch.with { scratch async throws in
                let two = try Self.network(in: host, scratch, bridge: "vmbr1", subnet: "10.101.0.0/24")
                try await one.reconcile([])
                let endpoint = try Self.endpoint(1, of: one)
                try await one.attach(endpoint)
                try await two.reconcile([])
                let other = try Self.endpoint(1, of: two)
                try await two.attach(other)
                #expect(try await one.counters(of: endpoint.attachment) != nil)
                try await two.tearDown()
                #expect(try await one.counters(of: endpoint.attachment) != nil)
                #expect(try await host.run("iptables-save").contains("HYP-vmbr0-FWD"))
                #expect(try await !host.run("iptables-save").contains("HYP-vmbr1-FWD"))
            }
        }
    }

    @Test func aHostThatIsNotFitIsLeftAsItWas() async throws {
        try await Self.with { host, network async throws in
            try await host.run("ip", "route", "add", "10.100.0.0/25", "dev", "up0")
            let before = try await Self.state(of: host)
            let error = await #expect(throws: AgentError.self) { try await network.reconcile([]) }
            #expect(error?.code == "subnet_in_use" && error?.message.contains("'up0'") == true)
            let difference = Self.difference(before, try await Self.state(of: host))
            #expect(difference == [])
            let findings = await network.findings()
            #expect(findings.contains { $0.level == .error && $0.message.contains("10.100.0.0/25") })
            try await host.run("ip", "route", "del", "10.100.0.0/25", "dev", "up0")
            try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
            let off = await #expect(throws: AgentError.self) { try await network.reconcile([]) }
            #expect(off?.code == "forwarding_off")
            try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        }
    }

    @Test func aBridgeWithAForeignAddressIsRefusedAndLeftAsItWas() async throws {
        try await Self.with { host, network async throws in
            try await host.run("ip", "link", "add", "vmbr0", "type", "bridge")
            try await host.run("ip", "address", "add", "10.200.0.1/16", "dev", "vmbr0")
            let before = try await Self.state(of: host)
            let error = await #expect(throws: AgentError.self) { try await network.reconcile([]) }
            #expect(error?.code == "bridge_in_use" && error?.message.contains("10.200.0.0/16") == true)
            let difference = Self.difference(before, try await Self.state(of: host))
            #expect(difference == [])
        }
    }

    @Test func aNamedUplinkThatVanishesIsSaidAndFollowedWhenItIsBack() async throws {
        try await Self.with(uplink: "up0") { host, network async throws in
            let endpoint = try Self.endpoint(1, of: network)
            try await network.reconcile([])
            try await network.attach(endpoint)
            var changes = network.changes.makeAsyncIterator()
            try await host.run("ip", "link", "del", "up0")
            _ = await changes.next()
            let error = await #expect(throws: AgentError.self) { try await network.reconcile([endpoint]) }
            #expect(error?.code == "uplink_missing" && error?.message.contains("'up0'") == true)
            #expect(await network.findings().contains { $0.level == .error && $0.message == error?.message })
            // Nothing was undone by it, and others come and go.
            #expect(try await network.counters(of: endpoint.attachment) != nil)
            let other = try Self.endpoint(2, of: network)
            try await network.attach(other)
            try await network.detach(other)
            try await host.run("ip", "link", "add", "up0", "mtu", "1400", "type", "veth", "peer", "name", "far0")
            try await host.run("ip", "link", "set", "up0", "up")
            while network.network?.mtu != 1400 {
                _ = await changes.next()
                try await network.reconcile([endpoint])
            }
            #expect(try await network.counters(of: endpoint.attachment) != nil)
            try await network.detach(endpoint)
        }
    }

    /// For instances it is as bad as `check` says; for the agent it is no reason to leave them to themselves.
    @Test func rulesOfOthersThatDropAreFoundAndDoNotKeepItFromItsWork() async throws {
        try await Self.with { host, network async throws in
            try await host.run(
                "nft",
                "add table inet strict; add chain inet strict forward { type filter hook forward priority 0; policy drop; }"
            )
            #expect(
                await network.findings().contains { $0.level == .error && $0.message.contains("table inet strict") }
            )
            let endpoint = try Self.endpoint(1, of: network)
            try await network.reconcile([endpoint])
            #expect(try await network.counters(of: endpoint.attachment) != nil)
            try await network.detach(endpoint)
        }
    }

    @Test func whatIsFoundIsSaidOnce() async throws {
        try await Self.with { host, network async throws in
            try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
            try await host.run("ip", "route", "add", "10.100.0.0/25", "dev", "up0")
            let findings = await network.findings()
            #expect(findings.filter { $0.message.contains("forward") || $0.subject.contains("forward") }.count == 1)
            #expect(Set(findings.map(\.message)).count == findings.count, "\(findings)")
            #expect(findings.filter { $0.level == .error }.count == 2, "\(findings)")
            #expect(findings.allSatisfy { $0.level == .ok || $0.fix != nil || $0.message.contains("SUBNET_CIDR") })
            try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        }
    }

    @Test func aPortThatAProgramListensOnIsRefusedAndNothingIsLeft() async throws {
        try await Self.with { host, network async throws in
            try await network.reconcile([])
            var endpoint = try Self.endpoint(1, of: network)
            endpoint.publishedPorts = [PublishedPort(hostPort: 53, guestPort: 53, transport: .udp)]
            let before = try await Self.state(of: host)
            // dnsmasq of this very network has it.
            let error = await #expect(throws: AgentError.self) { try await network.attach(endpoint) }
            #expect(error?.code == "port_in_use" && error?.message.contains("53/udp") == true)
            let difference = Self.difference(before, try await Self.state(of: host))
            #expect(difference == [])
        }
    }
}
