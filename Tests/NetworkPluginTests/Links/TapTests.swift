import AgentCore
import AgentTestSupport
import CNetwork
import Foundation
import SystemPackage
import Testing

@testable import NetworkPlugin

@Suite struct TapTests {
    private static let limits = BandwidthLimits(
        download: BitRate(bitsPerSecond: 10_000_000),
        upload: BitRate(bitsPerSecond: 5_000_000)
    )

    @Test func aTapIsMadeAsDescribed() async throws {
        try await LinkFixture.with { fixture in
            var tap = fixture.tap(2)
            tap.owner = 12345
            tap.group = 54321
            tap.mtu = 1420
            try await fixture.links.createTap(tap)
            let link = try await fixture.namespace.run("ip", "-d", "link", "show", "htap2")
            for expected in [
                "type tap", "vnet_hdr on", "persist on", "user 12345", "group 54321", "master hbr0", "learning off",
                "isolated on", "addrgenmode none", "mtu 1420", "alias hypeman:hbr0",
                "<NO-CARRIER,BROADCAST,MULTICAST,UP>",
            ] { #expect(link.contains(expected)) }
            let entries = try await fixture.namespace.run("bridge", "fdb", "show", "brport", "htap2")
            #expect(entries.contains("02:68:0a:64:00:02 sticky master hbr0 static"))
            let neighbours = try await fixture.namespace.run("ip", "neigh")
            #expect(neighbours.contains("10.100.0.2 dev hbr0 lladdr 02:68:0a:64:00:02 PERMANENT"))
            #expect(try await fixture.namespace.run("cat", "/proc/sys/net/ipv6/conf/htap2/disable_ipv6") == "1\n")
            #expect(try await fixture.links.link(named: "htap2")?.hasCarrier == false)
        }
    }

    @Test func aTapInUseIsRepairedUnderItsUser() async throws {
        try await LinkFixture.with { fixture in
            let namespace = fixture.namespace
            let tap = fixture.tap(2)
            let index = try await fixture.links.createTap(tap)
            let guest = try await Guest.open(tap, in: fixture)
            #expect(try await fixture.links.link(named: "htap2")?.hasCarrier == true)
            try await namespace.run("ip", "link", "set", "htap2", "nomaster", "down")
            try await namespace.run("ip", "link", "set", "htap2", "mtu", "1300")
            try await namespace.run("ip", "neigh", "del", "10.100.0.2", "dev", "hbr0")
            var changed = tap
            changed.isolated = false
            changed.limits = Self.limits
            #expect(try await fixture.links.createTap(changed) == index)
            let link = try await namespace.run("ip", "-d", "link", "show", "htap2")
            for expected in ["master hbr0", "learning off", "isolated off", "mtu 1500", "LOWER_UP"] {
                #expect(link.contains(expected))
            }
            #expect(try await fixture.links.link(named: "htap2")?.hasCarrier == true)
            withExtendedLifetime(guest) {}
        }
    }

    @Test func anotherMACTakesTheOldOnesPlace() async throws {
        try await LinkFixture.with { fixture in
            var tap = fixture.tap(2)
            try await fixture.links.createTap(tap)
            tap.mac = try #require(MACAddress("02:68:00:00:00:07"))
            try await fixture.links.createTap(tap)
            let entries = try await fixture.namespace.run("bridge", "fdb", "show", "brport", "htap2")
            #expect(entries.contains("02:68:00:00:00:07 sticky master hbr0 static"))
            #expect(!entries.contains("02:68:0a:64:00:02"))
        }
    }

    @Test func nothingIsLeftWhereAStepFails() async throws {
        try await LinkFixture.with { fixture in
            let before = try await fixture.traces()
            var broken: [TapDescription] = []
            var tap = fixture.tap(2, limits: Self.limits)
            tap.bridge = 999_999
            broken.append(tap)
            tap = fixture.tap(2, limits: Self.limits)
            tap.mtu = 1 << 20
            broken.append(tap)
            // The last thing that is set: the device for its limit has another's name.
            tap = fixture.tap(2, limits: Self.limits)
            tap.ifb = "hbr0"
            broken.append(tap)
            for tap in broken {
                await #expect(throws: AgentError.self) { try await fixture.links.createTap(tap) }
                let after = try await fixture.traces()
                #expect(after == before)
            }
        }
    }

    @Test func aForeignDeviceIsRefused() async throws {
        try await LinkFixture.with { fixture in
            let tap = fixture.tap(2)
            try await fixture.namespace.run("ip", "tuntap", "add", "htap2", "mode", "tap")
            await expect(code: "link_not_ours") { try await fixture.links.createTap(tap) }
            try await fixture.links.removeLink(named: "htap2")
            try await fixture.namespace.run("ip", "link", "add", "htap2", "type", "bridge")
            await expect(code: "link_kind_conflict") { try await fixture.links.createTap(tap) }
        }
    }

    @Test func aBridgeThatIsFullSaysSo() async throws {
        try await LinkFixture.with { fixture in
            // Port 0 is not used, so 1,023 are (BR_MAX_PORTS in the kernel's net/bridge/br_private.h).
            let count = BridgeConfiguration.maximumPorts
            try await fixture.links.route { [bridge = fixture.bridge.index] socket in
                for number in 0..<count {
                    try socket.send([
                        LinkMessages.create("port\(number)", kind: "ifb") { $0.put(IFLA_MASTER, bridge) }
                    ])
                }
            }
            let before = try await fixture.links.links().count
            await expect(code: "bridge_full") { try await fixture.links.createTap(fixture.tap(2)) }
            #expect(try await fixture.links.links().count == before)
        }
    }

    @Test func twoHundredCyclesLeaveNothing() async throws {
        try await LinkFixture.with { fixture in
            let before = try await fixture.traces()
            for number in 0..<200 {
                let tap = fixture.tap(2 + number % 7, limits: number % 3 == 0 ? Self.limits : BandwidthLimits())
                try await fixture.links.createTap(tap)
                let guest = number % 5 == 0 ? try await Guest.open(tap, in: fixture) : nil
                try await fixture.links.removeTap(named: tap.name, address: tap.address, ifb: tap.ifb)
                withExtendedLifetime(guest) {}
            }
            let after = try await fixture.traces()
            #expect(after == before)
            try await fixture.links.removeTap(named: "htap2", address: nil, ifb: "hifb2")
        }
    }

    @Test func countersAreTheInstances() async throws {
        try await LinkFixture.with { fixture in
            let tap = fixture.tap(2)
            #expect(try await fixture.links.statistics(ofTap: tap.name) == nil)
            try await fixture.links.createTap(tap)
            let guest = try await Guest.open(tap, in: fixture)
            for _ in 0..<10 { try guest.send(GuestFrame.udp(from: tap, to: fixture.bridge, length: 1000)) }
            let counters = try #require(try await fixture.links.statistics(ofTap: tap.name))
            #expect(counters.sentPackets == 10 && counters.sentBytes == 10_000)
        }
    }
}
