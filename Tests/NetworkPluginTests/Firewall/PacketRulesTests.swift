import AgentCore
import AgentTestSupport
import Foundation
import Synchronization
import Testing

@testable import NetworkPlugin

/// Who reaches whom, with packets.
@Suite struct PacketRulesTests {
    private typealias World = FirewallWorld

    private static let settings = ForeignRules.allCases.flatMap { rules in [false, true].map { (rules, $0) } }

    @Test func withoutRulesEverybodyReachesEverybody() async throws {
        // What makes the other tests' refusals mean something.
        try await World.with { world async throws in
            try await world.serving { servers async throws in
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .peer(World.aliceAddress))
                #expect(try await world.alice.ask(World.metadata, 80) == .peer(World.aliceAddress))
                #expect(try await world.alice.ask(World.bobAddress, 80) == .peer(World.aliceAddress))
                #expect(try await world.alice.ask(World.gateway, 22) == .peer(World.aliceAddress))
                #expect(try await world.outside.ask(World.aliceAddress, 80) == .peer(World.outsideAddress))
                #expect(
                    try await world.outside.ask(World.hostAddress, 5000, .udp, from: ("10.111.0.77", 0), patience: 1)
                        == .silence
                )
                #expect(servers.hidden.seen == ["10.111.0.77"])
            }
        }
    }

    @Test(arguments: settings)
    func eachMayReachWhatItMayAndNothingElse(_ foreign: ForeignRules, isBridgeFiltered: Bool) async throws {
        try await World.with(isBridgeFiltered: isBridgeFiltered) { world async throws in
            try await foreign.load(into: world.host)
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80)])
            try await world.serving { servers async throws in
                // Out, in the host's name.
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .peer(World.hostAddress))
                #expect(try await world.alice.ask(World.outsideAddress, 80, .udp) == .peer(World.hostAddress))
                #expect(try await world.alice.ask(World.metadata, 80) == .refused)
                // Of the host what is for instances.
                #expect(try await world.alice.ask(World.gateway, 53) == .peer(World.aliceAddress))
                #expect(try await world.alice.ask(World.gateway, 53, .udp) == .peer(World.aliceAddress))
                #expect(try await world.alice.ask(World.gateway, 67, .udp) == .peer(World.aliceAddress))
                try await world.alice.run("busybox", "ping", "-c", "1", "-W", "30", World.gateway)
                #expect(try await world.alice.ask(World.gateway, 22) == .refused)
                #expect(try await world.alice.ask(World.hostAddress, 22) == .refused)
                #expect(try await world.alice.ask(World.hostAddress, 53) == .refused)
                #expect(try await world.alice.ask(World.gateway, 5000, .udp) == .refused)
                // One another.
                // The refusal itself may be lost: the kernel says first that there is a shorter way, and such messages
                // are limited together.
                #expect(try await world.alice.ask(World.bobAddress, 80, patience: 1).isRefusal)
                #expect(try await world.bob.ask(World.aliceAddress, 80, .udp, patience: 1).isRefusal)
                #expect(servers.published.seen.isEmpty)
                // From the host and from outside.
                #expect(try await world.host.ask(World.aliceAddress, 80) == .peer(World.gateway))
                #expect(try await world.outside.ask(World.aliceAddress, 80, patience: 1) == .silence)
                #expect(try await world.outside.ask(World.aliceAddress, 80, .udp, patience: 1) == .silence)
                // In the name of an instance, from outside.
                #expect(
                    try await world.outside.ask(World.hostAddress, 5000, .udp, from: ("10.111.0.77", 0), patience: 1)
                        == .silence
                )
                #expect(servers.hidden.seen.isEmpty)
            }
        }
    }

    @Test(arguments: settings)
    func aPublishedPortIsReachedByAll(_ foreign: ForeignRules, isBridgeFiltered: Bool) async throws {
        try await World.with(isBridgeFiltered: isBridgeFiltered) { world async throws in
            try await foreign.load(into: world.host)
            try await world.install(ports: [
                PublishedPort(hostPort: 8080, guestPort: 80),
                PublishedPort(hostPort: 8080, guestPort: 80, transport: .udp),
            ])
            try await world.serving { _ async throws in
                for transport in PublishedPort.Transport.allCases {
                    #expect(
                        try await world.outside.ask(World.hostAddress, 8080, transport) == .peer(World.outsideAddress)
                    )
                    #expect(try await world.host.ask("127.0.0.1", 8080, transport) == .peer(World.gateway))
                    #expect(try await world.host.ask(World.gateway, 8080, transport) == .peer(World.gateway))
                    #expect(try await world.host.ask(World.hostAddress, 8080, transport) == .peer(World.hostAddress))
                    // What the kernel bridges from port to port stays within isolation.
                    guard !isBridgeFiltered else { continue }
                    #expect(try await world.bob.ask(World.hostAddress, 8080, transport) == .peer(World.gateway))
                    #expect(try await world.bob.ask(World.gateway, 8080, transport) == .peer(World.gateway))
                    #expect(try await world.alice.ask(World.hostAddress, 8080, transport) == .peer(World.gateway))
                }
            }
        }
    }

    @Test(arguments: [false, true])
    func instancesOfAnOpenNetworkReachOneAnother(isBridgeFiltered: Bool) async throws {
        try await World.with(isolated: false, isBridgeFiltered: isBridgeFiltered) { world async throws in
            try await ForeignRules.docker.load(into: world.host)
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80)])
            try await world.serving { _ async throws in
                #expect(try await world.alice.ask(World.bobAddress, 80) == .peer(World.aliceAddress))
                #expect(try await world.bob.ask(World.hostAddress, 8080) == .peer(World.gateway))
                #expect(try await world.bob.ask(World.gateway, 22) == .refused)
            }
        }
    }

    @Test(arguments: [false, true])
    func localhostStaysClosedToTheBridge(isBridgeFiltered: Bool) async throws {
        try await World.with(isBridgeFiltered: isBridgeFiltered) { world async throws in
            // One that is reached through localhost, and one that is there itself.
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80, transport: .udp)])
            try await world.serving { servers async throws in
                let socket = try await FrameSocket.open(world.bob, "eth0")
                defer { socket.close() }
                let bridge = try await world.host.run("cat", "/sys/class/net/hyp0/address").trimmingCharacters(
                    in: .newlines
                )
                func send(_ port: UInt16) throws {
                    let packet = Frame.udp(World.bobAddress, to: "127.0.0.1", ports: (40000, port), "?")
                    let own = world.bobEndpoint.attachment.mac
                    try socket.send(Frame.ethernet(own, to: MACAddress(bridge), type: 0x0800, packet))
                }
                try send(5000)
                try send(8080)
                // Behind those on the same way.
                #expect(try await world.bob.ask(World.gateway, 53, .udp) == .peer(World.bobAddress))
                #expect(servers.hidden.seen.isEmpty && servers.published.seen.isEmpty)
                // The rules alone keep it closed.
                try await world.host.run("iptables-nft", "-F", "HYP-hyp0-IN")
                try await world.host.run("nft", "delete", "table", "bridge", "hypeman-hyp0")
                try send(5000)
                #expect(try await world.bob.ask(World.gateway, 53, .udp) == .peer(World.bobAddress))
                #expect(try await servers.hidden.firstSeen() == World.bobAddress)
            }
        }
    }

    @Test func withoutAnUplinkNothingGetsOutAndAllElseWorks() async throws {
        try await World.with { world async throws in
            let firewall = try Firewall(
                world.configuration,
                uplink: nil
            )
            try await firewall.install([world.aliceEndpoint, world.bobEndpoint])
            try await world.serving { _ async throws in
                #expect(try await world.alice.ask(World.outsideAddress, 80) == .refused)
                #expect(try await world.alice.ask(World.gateway, 53) == .peer(World.aliceAddress))
                #expect(try await world.host.ask(World.aliceAddress, 80) == .peer(World.gateway))
            }
        }
    }

    @Test func aPortThatIsTakenBackIsClosedAlsoForThoseThatKnowIt() async throws {
        try await World.with { world async throws in
            try await world.install(ports: [])
            let port = PublishedPort(hostPort: 8053, guestPort: 80, transport: .udp)
            var endpoint = world.aliceEndpoint
            try await world.serving { servers async throws in
                let here: (address: String, port: UInt16) = (World.outsideAddress, 41000)
                // The host says that nobody is there, and the kernel remembers the way of such packets.
                #expect(try await world.outside.ask(World.hostAddress, 8053, .udp, from: here) == .refused)
                endpoint.publishedPorts = [port]
                try await world.firewall.publish(endpoint)
                #expect(
                    try await world.outside.ask(World.hostAddress, 8053, .udp, from: here)
                        == .peer(World.outsideAddress)
                )
                try await world.firewall.unpublish(endpoint.attachment)
                #expect(try await world.outside.ask(World.hostAddress, 8053, .udp, from: here) == .refused)
                #expect(servers.published.seen.count == 1)
            }
        }
    }

    @Test func aPortThatIsTakenIsNotPublished() async throws {
        try await World.with { world async throws in
            try await ForeignRules.docker.load(into: world.host)
            try await world.install(ports: [PublishedPort(hostPort: 8080, guestPort: 80)])
            try await world.serving { _ async throws in
                let before = try await world.listing()
                for (port, isTaken) in [
                    (PublishedPort(hostPort: 22, guestPort: 22), true),
                    (PublishedPort(hostPort: 5000, guestPort: 22, transport: .udp), true),
                    (PublishedPort(hostPort: 5000, guestPort: 22), false),
                    // Docker's.
                    (PublishedPort(hostPort: 8088, guestPort: 80), true),
                    (PublishedPort(hostPort: 8088, guestPort: 80, transport: .udp), false),
                ] {
                    var endpoint = world.bobEndpoint
                    endpoint.publishedPorts = [PublishedPort(hostPort: 9999, guestPort: 1), port]
                    guard isTaken else {
                        try await world.firewall.publish(endpoint)
                        try await world.firewall.unpublish(endpoint.attachment)
                        continue
                    }
                    let error = await #expect(throws: AgentError.self) { try await world.firewall.publish(endpoint) }
                    #expect(error?.code == "port_in_use" && error?.kind == .alreadyExists)
                }
                // Another instance's.
                var endpoint = world.bobEndpoint
                endpoint.publishedPorts = [PublishedPort(hostPort: 8080, guestPort: 80)]
                await #expect(throws: AgentError.self) { try await world.firewall.publish(endpoint) }
                #expect(try await world.listing() == before)
            }
        }
    }
}

extension FirewallWorld {
    /// The servers of a world that tests look at.
    struct Servers: Sendable {
        /// The host's at UDP port 5000, which nobody else should reach.
        var hidden: Responder
        /// Alice's at UDP port 80.
        var published: Responder
    }

    func install(ports: [PublishedPort]) async throws {
        var alice = aliceEndpoint
        alice.publishedPorts = ports
        try await firewall.install([alice, bobEndpoint])
    }

    /// Runs `body` while servers run everywhere.
    func serving(_ body: (Servers) async throws -> Void) async throws {
        var all: [Responder] = []
        func start(_ namespace: TestNamespace, _ transport: PublishedPort.Transport, _ port: UInt16) async throws
            -> Responder
        {
            let responder = try await Responder.start(namespace, transport, port)
            all.append(responder)
            return responder
        }
        let result: Result<Void, any Error>
        do {
            for namespace in [outside, bob] { _ = try await start(namespace, .tcp, 80) }
            for namespace in [outside, bob] { _ = try await start(namespace, .udp, 80) }
            _ = try await start(alice, .tcp, 80)
            for port in [22, 53] as [UInt16] { _ = try await start(host, .tcp, port) }
            for port in [53, 67] as [UInt16] { _ = try await start(host, .udp, port) }
            let servers = Servers(
                hidden: try await start(host, .udp, 5000),
                published: try await start(alice, .udp, 80)
            )
            result = .success(try await body(servers))
        } catch {
            result = .failure(error)
        }
        for responder in all { responder.stop() }
        try result.get()
    }
}
