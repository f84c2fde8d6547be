import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

@Suite struct BridgeTests {
    @Test func aBridgeIsMadeAsDescribed() async throws {
        try await LinkFixture.with { fixture in
            let link = try await fixture.namespace.run("ip", "-d", "link", "show", "hbr0")
            for expected in [
                "stp_state 0", "forward_delay 0", "02:68:0a:64:00:01", "addrgenmode none", "alias hypeman:hbr0",
                "mtu 1500", "UP",
            ] { #expect(link.contains(expected)) }
            #expect(try await fixture.namespace.run("ip", "addr", "show", "hbr0").contains("inet 10.100.0.1/16 brd"))
            #expect(try await fixture.namespace.run("ip", "-6", "addr", "show", "hbr0").isEmpty)
            let setting = try await fixture.namespace.run("cat", "/proc/sys/net/ipv6/conf/hbr0/disable_ipv6")
            #expect(setting == "1\n")
        }
    }

    @Test func aBridgeThatIsThereIsRepairedAndKept() async throws {
        try await LinkFixture.with { fixture in
            for change in [
                ["link", "set", "hbr0", "down"], ["link", "set", "hbr0", "address", "02:00:00:00:00:99"],
                ["link", "set", "hbr0", "mtu", "1400"], ["link", "set", "hbr0", "type", "bridge", "stp_state", "1"],
                ["addr", "del", "10.100.0.1/16", "dev", "hbr0"],
            ] { _ = try await TestTools.ip(change, in: fixture.namespace) }
            let again = try await fixture.links.createBridge(LinkFixture.description)
            #expect(again.index == fixture.bridge.index)
            let link = try #require(try await fixture.links.link(named: "hbr0"))
            #expect(link.isUp && link.mtu == 1500 && link.mac == LinkFixture.description.mac)
            #expect(try await fixture.namespace.run("ip", "-d", "link", "show", "hbr0").contains("stp_state 0"))
            let addresses = try await fixture.links.addresses().filter { $0.link == link.index }.map(\.address)
            #expect(addresses == [LinkAddress(address: IPv4Address(value: 0x0a64_0001), prefixLength: 16)])
        }
    }

    @Test func whatIsNotOursIsRefusedAndLeftAlone() async throws {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            try await namespace.run("ip", "link", "add", "hbr0", "type", "veth")
            await expect(code: "link_kind_conflict") { try await links.createBridge(LinkFixture.description) }
            try await namespace.run("ip", "link", "del", "hbr0")
            try await namespace.run("ip", "link", "add", "hbr0", "type", "bridge")
            let before = try await namespace.run("ip", "-d", "link", "show", "hbr0")
            await expect(code: "link_not_ours") { try await links.createBridge(LinkFixture.description) }
            #expect(try await namespace.run("ip", "-d", "link", "show", "hbr0") == before)
        }
    }

    @Test func aForeignAddressIsRefusedAndNamed() async throws {
        try await LinkFixture.with { fixture in
            try await fixture.namespace.run("ip", "addr", "add", "192.0.2.1/24", "dev", "hbr0")
            let error = await expect(code: "bridge_address_conflict") {
                try await fixture.links.createBridge(LinkFixture.description)
            }
            #expect(error?.message.contains("192.0.2.1/24") == true)
        }
    }

    @Test func nothingIsLeftOfABridgeThatCannotBeMade() async throws {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            var description = LinkFixture.description
            description.mtu = 1 << 20
            await #expect(throws: AgentError.self) { try await links.createBridge(description) }
            let left = try await links.links().map(\.name)
            #expect(left == ["lo"])
        }
    }

    @Test func routesAndTheWayOutAreRead() async throws {
        try await LinkFixture.with { fixture in
            let namespace = fixture.namespace
            try await namespace.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1")
            try await namespace.run("ip", "addr", "add", "198.51.100.2/24", "dev", "out0")
            try await namespace.run("ip", "link", "set", "out1", "up")
            try await namespace.run("ip", "link", "set", "out0", "up")
            for (gateway, metric) in [("198.51.100.9", "500"), ("198.51.100.1", "100")] {
                try await namespace.run("ip", "route", "add", "default", "via", gateway, "metric", metric)
            }
            try await namespace.run("ip", "route", "add", "203.0.113.0/24", "via", "198.51.100.1", "table", "99")
            let routes = try await fixture.links.routes()
            #expect(routes.count == 4)
            #expect(
                routes.contains {
                    $0.subnet.description == "10.100.0.0/16" && $0.interface == "hbr0" && $0.gateway == nil
                }
            )
            let ways = routes.filter { $0.subnet.prefixLength == 0 }.sorted { $0.metric < $1.metric }
            #expect(ways.map(\.gateway?.description) == ["198.51.100.1", "198.51.100.9"])
            #expect(ways.map(\.metric) == [100, 500] && ways.allSatisfy { $0.interface == "out0" })
        }
    }
}
