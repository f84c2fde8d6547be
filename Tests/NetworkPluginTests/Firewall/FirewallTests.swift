import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import NetworkPlugin

/// What is done to a host's rules, and undone.
@Suite struct FirewallTests {
    private typealias World = FirewallWorld

    /// Another agent's, with a bridge of its own.
    private static func other(_ world: World) async throws -> Firewall {
        try await world.host.run("ip", "link", "add", "hyp1", "type", "bridge")
        var configuration = try World.configuration(bridge: "hyp1", in: world.host)
        configuration.subnet = try #require(IPv4Subnet("10.112.0.0/24"))
        configuration.gateway = IPv4Address(value: 0x0a70_0001)
        return try Firewall(configuration, uplink: "up0")
    }

    @Test(arguments: ForeignRules.allCases)
    func afterwardsTheRulesAreWhatTheyWere(_ foreign: ForeignRules) async throws {
        try await World.with { world async throws in
            try await foreign.load(into: world.host)
            let before = try await world.listing()
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80)])
            #expect(try await world.listing() != before)
            try await world.firewall.remove()
            #expect(try await world.listing() == before)
            #expect(try await world.host.run("cat", "/proc/sys/net/ipv4/conf/hyp0/route_localnet") == "0\n")
            try await world.firewall.remove()
            #expect(try await world.listing() == before)
        }
    }

    @Test func whatWasThereEmptyStays() async throws {
        try await World.with { world async throws in
            try await world.host.run(
                "nft",
                "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; }"
            )
            let before = try await world.listing()
            try await world.install(ports: [])
            try await world.firewall.remove()
            #expect(try await world.listing() == before)
        }
    }

    @Test func whatOthersUseByNowStays() async throws {
        try await World.with { world async throws in
            try await world.install(ports: [])
            try await ForeignRules.docker.load(into: world.host)
            try await world.firewall.remove()
            let after = try await world.listing()
            #expect(!after.contains("HYP-") && !after.contains("hypeman"))
            #expect(after.contains("-A FORWARD -j DOCKER-USER") && after.contains(":FORWARD DROP"))
        }
    }

    @Test(arguments: [false, true])
    func twoAgentsLeaveEachOtherAlone(isFirstGoneFirst: Bool) async throws {
        try await World.with { world async throws in
            let before = try await world.listing()
            let other = try await Self.other(world)
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80)])
            try await other.install([])
            // Neither overtakes the other for ever.
            let both = try await world.host.run("nft", "-s", "-a", "list", "ruleset")
            #expect(try await world.firewall.install([world.alice(8080), world.bobEndpoint]) == false)
            #expect(try await other.install([]) == false)
            #expect(try await world.host.run("nft", "-s", "-a", "list", "ruleset") == both)
            try await world.serving { _ async throws in
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .peer(World.hostAddress))
                #expect(try await world.outside.ask(World.hostAddress, 8080) == .peer(World.outsideAddress))
                #expect(try await world.alice.ask(World.gateway, 22) == .refused)
                try await (isFirstGoneFirst ? world.firewall : other).remove()
                guard !isFirstGoneFirst else { return }
                #expect(try await world.firewall.install([world.alice(8080), world.bobEndpoint]) == false)
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .peer(World.hostAddress))
                #expect(try await world.outside.ask(World.hostAddress, 8080) == .peer(World.outsideAddress))
            }
            if isFirstGoneFirst { #expect(try await other.install([]) == false) }
            try await (isFirstGoneFirst ? other : world.firewall).remove()
            #expect(try await world.listing() == before)
        }
    }

    @Test func aSecondRunChangesNothing() async throws {
        try await World.with { world async throws in
            try await ForeignRules.ufw.load(into: world.host)
            #expect(try await world.firewall.install([world.alice(8080)]))
            let before = try await world.host.run("nft", "-s", "-a", "list", "ruleset")
            #expect(try await world.firewall.install([world.alice(8080)]) == false)
            #expect(try await world.host.run("nft", "-s", "-a", "list", "ruleset") == before)
            // Nor does that of an agent that was started anew, to iptables' tables.
            let rules = world.firewall.rules
            let saved = try await PacketFilter(rules: rules, network: world.firewall.network).saved()
            #expect(rules.restoration(from: saved, forwards: world.alice(8080).forwards) == nil)
        }
    }

    @Test(arguments: [
        "iptables-nft -F HYP-hyp0-FWD",
        "iptables-nft -D HYP-hyp0-IN 1",
        "iptables-nft -I FORWARD 1 -j DROP",
        "iptables-nft -t nat -I PREROUTING 1 -j ACCEPT",
        "iptables-nft -D FORWARD -j HYP-hyp0-FWD",
        "iptables-nft -I INPUT 1 -j HYP-hyp0-IN",
        "iptables-nft -F; iptables-nft -X; iptables-nft -t nat -F; iptables-nft -t nat -X",
        "iptables-nft -t nat -F HYP-hyp0-PUB",
        "nft flush ruleset",
        "nft delete table bridge hypeman-hyp0",
        "nft flush chain bridge hypeman-hyp0 instances",
        "nft flush set bridge hypeman-hyp0 arps",
        "nft 'add element bridge hypeman-hyp0 ports { \"tap-x\" }'",
    ])
    func whatSomebodyChangedIsMended(_ command: String) async throws {
        try await World.with { world async throws in
            try await world.firewall.install([world.alice(8080)])
            try await world.host.run("sh", "-c", command)
            #expect(try await world.firewall.install([world.alice(8080)]))
            #expect(try await world.firewall.install([world.alice(8080)]) == false)
        }
    }

    @Test(arguments: ["iptables-nft -t nat -F HYP-hyp0-PUB", "nft flush ruleset"])
    func portsArePublishedAlsoWhereSomebodyRemovedOthers(_ command: String) async throws {
        try await World.with { world async throws in
            try await world.firewall.install([world.alice(8080)])
            var bob = world.bobEndpoint
            bob.publishedPorts = [PublishedPort(hostPort: 8081, guestPort: 80)]
            try await world.host.run("sh", "-c", command)
            try await world.firewall.publish(bob)
            try await world.firewall.publish(world.alice(8082))
            try await world.firewall.admit(world.aliceEndpoint)
            let rules = world.firewall.rules
            let saved = try await PacketFilter(rules: rules, network: world.firewall.network).saved()
            #expect(rules.restoration(from: saved, forwards: world.alice(8082).forwards + bob.forwards) == nil)
            #expect(try await world.admitted() == ["tap-a"])
            try await world.serving { _ async throws in
                #expect(try await world.outside.ask(World.hostAddress, 8081) == .peer(World.outsideAddress))
                #expect(try await world.outside.ask(World.hostAddress, 8082) == .peer(World.outsideAddress))
                #expect(try await world.outside.ask(World.hostAddress, 8080) == .refused)
            }
        }
    }

    @Test func rulesOfOthersKeepTheirOrder() async throws {
        try await World.with { world async throws in
            try await ForeignRules.docker.load(into: world.host)
            func foreign() async throws -> [Substring] {
                try await world.host.run("iptables-nft-save").split(separator: "\n").filter {
                    $0.hasPrefix("-A") && !$0.contains("HYP-")
                }
            }
            let before = try await foreign()
            try await world.install(ports: [])
            try await world.host.run("iptables-nft", "-I", "FORWARD", "1", "-j", "DOCKER-USER")
            #expect(try await world.firewall.install([world.aliceEndpoint, world.bobEndpoint]))
            let first = try await world.host.run("iptables-nft", "-S", "FORWARD", "1")
            #expect(first.hasPrefix("-A FORWARD -j HYP-hyp0-FWD"))
            #expect(try await foreign() == ["-A FORWARD -j DOCKER-USER"] + before)
        }
    }

    @Test func anOrdinaryUserWithTheCapabilityCanDoAllOfIt() async throws {
        try await World.with { world async throws in
            let rules = world.firewall.rules
            let network = world.firewall.network
            let frames = FrameRules(bridge: "hyp0")
            func load(_ tool: [String], _ text: String) async throws {
                let arguments = [
                    "--reuid", "65534", "--regid", "65534", "--clear-groups",
                    "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin",
                ]
                let result = try await HostTool(name: "setpriv", package: "util-linux")
                    .run(arguments + tool, input: text, in: network)
                #expect(result.isSuccess, "\(tool): \(result.errors)")
            }
            func saved() async throws -> SavedRules { try await PacketFilter(rules: rules, network: network).saved() }
            let chains = try #require(BaseChains.creation(from: try await Nft.ruleset(in: network)))
            try await load(["nft", "-f", "-"], chains)
            try await load(
                ["nft", "-f", "-"],
                frames.replacement(for: [FrameRules.Admission(world.aliceEndpoint.attachment)])
            )
            let restoration = try #require(
                rules.restoration(from: try await saved(), forwards: world.alice(8080).forwards)
            )
            try await load(["iptables-nft-restore", "--noflush", "-w"], restoration)
            #expect(rules.restoration(from: try await saved(), forwards: world.alice(8080).forwards) == nil)
            try await load(["tee", "/proc/sys/net/ipv4/conf/hyp0/route_localnet"], "1")
            try await load(["iptables-nft-save"], "")
            try await load(["nft", "-j", "list", "ruleset"], "")
        }
    }

    @Test func namesThatRulesCannotHoldAreRefused() async throws {
        for name in ["", "a b", "br+", "-x", "sixteen-bytes-xx", "br\n-F", "br\"0"] {
            let configuration = BridgeConfiguration(
                bridge: name,
                subnet: try #require(IPv4Subnet("10.111.0.0/24")),
                gateway: IPv4Address(value: 0x0a6f_0001),
                dnsServers: [],
                directory: "/nonexistent"
            )
            #expect(throws: AgentError.self, "\(name)") {
                try Firewall(configuration, uplink: nil)
            }
        }
        let long = try World.configuration(bridge: "fifteen-bytes-x", in: TestNamespace(name: "none"))
        let rules = try PacketRules(long, uplink: "fifteen-bytes-y")
        #expect(PacketRules.Chain.allCases.allSatisfy { rules.name($0).utf8.count <= 28 })
    }

    @Test func whatOthersDropIsFoundAndNamed() async throws {
        try await World.with { world async throws in
            try await world.install(ports: [])
            func problems() async -> [HostFinding] { await world.firewall.findings().filter { $0.level != .ok } }
            #expect(await problems() == [])
            try await world.host.run(
                "nft",
                """
                add table inet firewalld
                add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
                add rule inet firewalld filter_FORWARD ct state established accept
                add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited
                add table inet strict
                add chain inet strict input { type filter hook input priority 0; policy drop; }
                """
            )
            // It is as bad as it is said to be.
            try await world.serving { _ async throws in
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .refused)
            }
            let found = await problems()
            #expect(found.map(\.subject) == ["nftables", "nftables"])
            #expect(found.contains { $0.message.contains("firewalld") && $0.message.contains("filter_FORWARD") })
            #expect(found.contains { $0.message.contains("table inet strict, chain input") })
            // What is said to mend it does.
            try await world.host.run("nft", "delete", "table", "inet", "firewalld")
            let fix = try #require(found.first { $0.message.contains("strict") }?.fix)
            try await world.host.run("sh", "-ec", fix)
            #expect(await problems() == [])
            try await world.serving { _ async throws in
                #expect(try await world.alice.ask(World.gateway, 53) == .peer(World.aliceAddress))
            }
            try await world.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
            try await world.host.run("iptables-nft", "-I", "FORWARD", "-j", "ACCEPT")
            #expect(await problems().map(\.subject) == ["net.bridge.bridge-nf-call-iptables", "iptables"])
        }
    }

    @Test func legacyRulesThatDropAreNamed() {
        let saved = SavedRules("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
        #expect(FirewallFindings.legacy(saved).map(\.subject) == ["iptables-legacy"])
        #expect(FirewallFindings.legacy(SavedRules("")).isEmpty)
    }

    @Test func listeningSocketsAreTold() {
        let tcp = PublishedPort.Key(hostPort: 8080, transport: .tcp)
        let udp = PublishedPort.Key(hostPort: 8080, transport: .udp)
        for (line, key, expected) in [
            ("0: 00000000:1F90 00000000:0000 0A 0:0", tcp, true),
            ("0: 0100007F:1F90 00000000:0000 0A 0:0", tcp, true),
            ("0: 00000000:1F90 00000000:0000 01 0:0", tcp, false),
            ("0: 00000000:1F91 00000000:0000 0A 0:0", tcp, false),
            ("0: 00000000:1F90 00000000:0000 07 0:0", udp, true),
            ("0: 00000000:1F90 00000000:0000 01 0:0", udp, false),
            ("0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0", tcp, true),
            ("0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0", tcp, true),
            ("0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0", tcp, false),
            ("  sl  local_address rem_address   st tx_queue", tcp, false),
            ("", tcp, false),
        ] {
            #expect(ListeningSockets.isListening(line, on: key) == expected, "\(line)")
        }
    }

    @Test func costsAreMeasured() async throws {
        try await World.with { world async throws in
            let firewall = world.firewall
            let clock = ContinuousClock()
            func measure(_ endpoints: [NetworkEndpoint]) async throws {
                let admission = try await clock.measure { try await firewall.admit(world.bobEndpoint) }
                var bob = world.bobEndpoint
                bob.publishedPorts = [PublishedPort(hostPort: 9000, guestPort: 80)]
                let publication = try await clock.measure { try await firewall.publish(bob) }
                let withdrawal = try await clock.measure { try await firewall.unpublish(bob.attachment) }
                let expulsion = try await clock.measure { try await firewall.expel(bob.attachment) }
                let check = try await clock.measure { () async throws in
                    #expect(try await firewall.install(endpoints) == false)
                }
                print(
                    "firewall with \(endpoints.count) endpoints: admit \(admission), publish \(publication), "
                        + "unpublish \(withdrawal), expel \(expulsion), check \(check)"
                )
            }
            try await firewall.install([])
            try await measure([])
            let endpoints = try (0..<500).map { number in
                try World.endpoint(
                    "i\(number)",
                    UInt32(256 + number),
                    tap: "tap\(number)",
                    ports: [PublishedPort(hostPort: UInt16(20000 + number), guestPort: 80)]
                )
            }
            let installation = try await clock.measure { try await firewall.install(endpoints) }
            print("firewall: install of 500 endpoints with a port each \(installation)")
            try await measure(endpoints)
        }
    }
}

extension FirewallWorld {
    /// Alice with her port 80 published.
    func alice(_ hostPort: UInt16) -> NetworkEndpoint {
        var endpoint = aliceEndpoint
        endpoint.publishedPorts = [PublishedPort(hostPort: hostPort, guestPort: 80)]
        return endpoint
    }
}
