import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

/// Who may send what on the bridge, with frames.
///
/// Nothing but the table is in the way: the ports learn, and are not isolated.
@Suite struct FrameFilterTests {
    private typealias World = FirewallWorld

    /// Alice's frames; those in another's name or of another kind are called forged.
    private struct Frames {
        let alice: MACAddress
        let bob: MACAddress

        init(_ world: World) {
            alice = world.aliceEndpoint.attachment.mac
            bob = world.bobEndpoint.attachment.mac
        }

        var all: [(tag: String, bytes: [UInt8])] {
            let everybody = Frame.broadcast
            let lldp = MACAddress("01:80:c2:00:00:0e")
            let own = World.aliceAddress
            func packet(_ source: String, _ tag: String, _ from: UInt16 = 40000, _ to: UInt16 = 9) -> [UInt8] {
                Frame.udp(source, to: "255.255.255.255", ports: (from, to), tag)
            }
            func frame(_ source: MACAddress, _ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
                Frame.ethernet(source, to: everybody, type: type, payload)
            }
            let arp: UInt16 = 0x0806
            let ip: UInt16 = 0x0800
            return [
                ("forged-both", frame(bob, ip, packet(World.bobAddress, "forged-both"))),
                ("forged-mac", frame(bob, ip, packet(own, "forged-mac"))),
                ("forged-source", frame(alice, ip, packet(World.bobAddress, "forged-source"))),
                ("forged-local", frame(alice, ip, packet("127.0.0.1", "forged-local"))),
                (
                    "forged-gateway",
                    frame(alice, arp, Frame.arp(2, sender: (alice, World.gateway), target: own, "forged-gateway"))
                ),
                ("forged-sender", frame(alice, arp, Frame.arp(1, sender: (bob, own), target: own, "forged-sender"))),
                ("forged-arpmac", frame(bob, arp, Frame.arp(1, sender: (alice, own), target: own, "forged-arpmac"))),
                (
                    "forged-probe",
                    frame(alice, arp, Frame.arp(1, sender: (bob, "0.0.0.0"), target: own, "forged-probe"))
                ),
                ("forged-dhcp", frame(bob, ip, packet("0.0.0.0", "forged-dhcp", 68, 67))),
                ("forged-nobody", frame(alice, ip, packet("0.0.0.0", "forged-nobody", 68, 53))),
                (
                    "forged-ipv6",
                    frame(
                        alice,
                        0x86dd,
                        [0x60, 0, 0, 0, 0, 11, 59, 255] + Array(repeating: 0, count: 32) + Array("forged-ipv6".utf8)
                    )
                ),
                ("forged-vlan", frame(alice, 0x8100, [0, 7, 8, 0] + packet(own, "forged-vlan"))),
                ("forged-qinq", frame(alice, 0x88a8, [0, 7, 8, 0] + packet(own, "forged-qinq"))),
                ("forged-zero", frame(alice, 0x8100, [0, 0, 8, 0] + packet(own, "forged-zero"))),
                ("forged-other", frame(alice, 0x88b5, Array("forged-other".utf8))),
                (
                    "forged-stp",
                    Frame.ethernet(bob, to: MACAddress("01:80:c2:00:00:00"), type: 0x88b5, Array("forged-stp".utf8))
                ),
                ("lldp", Frame.ethernet(bob, to: lldp, type: 0x88cc, Array("lldp".utf8))),
                ("allowed-packet", frame(alice, ip, packet(own, "allowed-packet"))),
                (
                    "allowed-arp",
                    frame(alice, arp, Frame.arp(1, sender: (alice, own), target: World.gateway, "allowed-arp"))
                ),
                (
                    "allowed-probe",
                    frame(alice, arp, Frame.arp(1, sender: (alice, "0.0.0.0"), target: own, "allowed-probe"))
                ),
                ("allowed-dhcp", frame(alice, ip, packet("0.0.0.0", "allowed-dhcp", 68, 67))),
            ]
        }

        func tags(_ prefix: String) -> Set<String> { Set(all.map(\.tag).filter { $0.hasPrefix(prefix) }) }
    }

    /// Sends all of Alice's frames, and says what arrives at Bob's and on the host until `tags` have.
    private static func exchange(_ world: World, until tags: Set<String>) async throws -> (
        bob: [String], host: [String]
    ) {
        let sender = try await FrameSocket.open(world.alice, "eth0")
        let bob = try await FrameSocket.open(world.bob, "eth0")
        let host = try await FrameSocket.open(world.host, "hyp0")
        defer { for socket in [sender, bob, host] { socket.close() } }
        for frame in Frames(world).all where frame.tag != "lldp" { try sender.send(frame.bytes) }
        return (try await bob.receive(until: tags), try await host.receive(until: tags))
    }

    /// Whether the bridge believes that Bob is where Alice is.
    private static func isBobStolen(_ world: World) async throws -> Bool {
        try await world.host.run("bridge", "fdb", "show", "brport", "tap-a")
            .contains(world.bobEndpoint.attachment.mac.description)
    }

    /// Sends LLDP's frame in Bob's name, and returns when the bridge has seen it.
    private static func sendLLDP(_ world: World) async throws {
        let sender = try await FrameSocket.open(world.alice, "eth0")
        let bob = try await FrameSocket.open(world.bob, "eth0")
        defer { for socket in [sender, bob] { socket.close() } }
        for frame in Frames(world).all where ["lldp", "allowed-packet"].contains(frame.tag) {
            try sender.send(frame.bytes)
        }
        _ = try await bob.receive(until: ["allowed-packet"])
    }

    private static func redirect(_ world: World) async throws {
        // As an upload limit does.
        try await world.host.run(
            "sh",
            "-ec",
            """
            ip link add ifb-a type ifb
            ip link set ifb-a up
            tc qdisc add dev tap-a handle ffff: ingress
            tc filter add dev tap-a parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ifb-a
            """
        )
    }

    @Test(arguments: [false, true])
    func withoutTheTableAllArrives(isRedirected: Bool) async throws {
        // What makes the next test mean something.
        try await World.with(isolated: false) { world async throws in
            if isRedirected { try await Self.redirect(world) }
            let frames = Frames(world)
            _ = try await Self.exchange(world, until: frames.tags("forged").union(frames.tags("allowed")))
            #expect(try await Self.isBobStolen(world))
            // LLDP's alone is enough for that.
            try await world.host.run("bridge", "fdb", "flush", "dev", "hyp0", "brport", "tap-a", "dynamic")
            #expect(try await Self.isBobStolen(world) == false)
            try await Self.sendLLDP(world)
            #expect(try await Self.isBobStolen(world))
        }
    }

    @Test(arguments: [(false, false), (false, true), (true, false), (true, true)])
    func aFrameInAnothersNameIsDropped(isRedirected: Bool, isBridgeFiltered: Bool) async throws {
        try await World.with(isolated: false, isBridgeFiltered: isBridgeFiltered) { world async throws in
            if isRedirected { try await Self.redirect(world) }
            try await world.firewall.install([])
            for endpoint in [world.aliceEndpoint, world.bobEndpoint] { try await world.firewall.admit(endpoint) }
            // With br_netfilter a DHCP client's packets are not led from port to port either.
            let allowed = Frames(world).tags("allowed").subtracting(isBridgeFiltered ? ["allowed-dhcp"] : [])
            let arrived = try await Self.exchange(world, until: allowed)
            #expect(arrived.bob.filter { $0.contains("forged") }.isEmpty)
            #expect(arrived.host.filter { $0.contains("forged") }.isEmpty)
            #expect(try await Self.isBobStolen(world) == false)
            try await world.host.run("bridge", "link", "set", "dev", "tap-a", "learning", "off")
            try await Self.sendLLDP(world)
            #expect(try await Self.isBobStolen(world) == false)
        }
    }

    @Test func theTableIsReplacedWithoutAGap() async throws {
        try await World.with(isolated: false) { world async throws in
            try await world.firewall.install([world.aliceEndpoint, world.bobEndpoint])
            let sender = try await FrameSocket.open(world.alice, "eth0")
            let bob = try await FrameSocket.open(world.bob, "eth0")
            defer { for socket in [sender, bob] { socket.close() } }
            let frames = Frames(world)
            let forged = try #require(frames.all.first { $0.tag == "forged-both" })
            let allowed = try #require(frames.all.first { $0.tag == "allowed-packet" })
            let flood = Task {
                while !Task.isCancelled {
                    for _ in 0..<64 { try sender.send(forged.bytes) }
                    await Task.yield()
                }
            }
            // What looks at rules sees another firewall's as changed, so each replaces the table.
            for _ in 0..<25 {
                let another = try Firewall(
                    world.configuration,
                    uplink: "up0"
                )
                #expect(try await another.install([world.aliceEndpoint, world.bobEndpoint]))
            }
            flood.cancel()
            try await flood.value
            try sender.send(allowed.bytes)
            let arrived = try await bob.receive(until: ["allowed-packet"])
            #expect(arrived.filter { $0.contains("forged") }.isEmpty)
        }
    }

    @Test func whoIsExpelledIsForgottenAndWhoComesBackIsKnown() async throws {
        try await World.with { world async throws in
            let firewall = world.firewall
            try await firewall.install([world.aliceEndpoint])
            try await firewall.admit(world.bobEndpoint)
            try await firewall.admit(world.bobEndpoint)
            #expect(try await world.admitted() == ["tap-a", "tap-b"])
            try await firewall.expel(world.bobEndpoint.attachment)
            try await firewall.expel(world.bobEndpoint.attachment)
            #expect(try await world.admitted() == ["tap-a"])
            let table = try await world.host.run("nft", "list", "table", "bridge", "hypeman-hyp0")
            #expect(table.contains("tap-a") && !table.contains("tap-b"))
            // Another machine's port, under the same name.
            var other = world.aliceEndpoint
            other.attachment.address = IPv4Address(value: 0x0a6f_0009)
            other.attachment.mac = MACAddress(derivedFrom: other.attachment.address)
            try await firewall.admit(other)
            #expect(try await firewall.install([other]) == false)
            let changed = try await world.host.run("nft", "list", "table", "bridge", "hypeman-hyp0")
            #expect(changed.contains("10.111.0.9") && !changed.contains("10.111.0.2"))
        }
    }

    @Test func aTableThatSomebodyRemovedIsPutBackByTheNextInstance() async throws {
        try await World.with { world async throws in
            try await world.firewall.install([world.aliceEndpoint])
            try await world.host.run("nft", "delete", "table", "bridge", "hypeman-hyp0")
            try await world.firewall.admit(world.bobEndpoint)
            #expect(try await world.admitted() == ["tap-a", "tap-b"])
            #expect(try await world.firewall.install([world.aliceEndpoint, world.bobEndpoint]) == false)
        }
    }
}
