import AgentCore
import AgentTestSupport
import SystemPackage
import Testing

@testable import NetworkPlugin

@Suite struct NameServiceConfigurationTests {
    @Test(arguments: [
        ("10.100.0.0/16", ["100.10.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("10.9.4.0/24", ["4.9.10.in-addr.arpa"]),
        ("10.9.4.0/23", ["4.9.10.in-addr.arpa", "5.9.10.in-addr.arpa"]),
        ("10.9.4.4/30", (4..<8).map { "\($0).4.9.10.in-addr.arpa" }),
        ("10.16.0.0/12", (16..<32).map { "\($0).10.in-addr.arpa" }),
    ])
    func theReverseZonesAreTheSubnets(_ subnet: String, _ zones: [String]) throws {
        #expect(ReverseZones.names(of: try #require(IPv4Subnet(subnet))) == zones)
    }

    @Test func whatChangesTheConfigurationChangesItsMarkAndNothingElseDoes() throws {
        let subnet = try #require(IPv4Subnet("10.9.0.0/24"))
        var bridge = BridgeConfiguration(
            bridge: "vmbr0",
            subnet: subnet,
            gateway: subnet.base + 1,
            dnsServers: [],
            directory: "/nowhere"
        )
        let first = NameServiceConfiguration(bridge, device: 7, mtu: 1500)
        #expect(NameServiceConfiguration(bridge, device: 7, mtu: 1500) == first)
        #expect(first.arguments.contains(first.mark) && first.arguments.contains(first.current))
        let mtu = NameServiceConfiguration(bridge, device: 7, mtu: 1400)
        let device = NameServiceConfiguration(bridge, device: 8, mtu: 1500)
        bridge.dnsServers = [IPv4Address(value: 0x0101_0101)]
        let server = NameServiceConfiguration(bridge, device: 7, mtu: 1500)
        #expect(Set([first, mtu, device, server].map(\.current)).count == 4)
        #expect(Set([first, mtu, device, server].map(\.mark)).count == 1)
    }

    @Test func aListenerIsReadWhateverItsProgramIsCalled() throws {
        let line = #"udp UNCONN 0 0 10.9.0.1%br0:53 0.0.0.0:* users:(("a,pid=9,(x",pid=12,fd=4),("b",pid=13,fd=5))"#
        let listener = try #require(Listener(line[...]))
        #expect(listener.transport == "udp" && listener.address == "10.9.0.1" && listener.device == "br0")
        #expect(listener.port == 53 && listener.processes.contains(Listener.Process(name: "b", pid: 13)))
        #expect(Listener("tcp LISTEN 0 32 [::]:53 [::]:*")?.processes == [])
        #expect(Listener("") == nil)
        #expect(Listener("udp UNCONN 0 0 nothing 0.0.0.0:*") == nil)
    }

    @Test func aListenerIsTheNameServicesByItsProcessOrWhereThatIsHiddenByItsUser() throws {
        let start = "udp UNCONN 0 0 10.9.0.1:53 0.0.0.0:* "
        func listener(_ rest: String) throws -> Listener { try #require(Listener("\(start)\(rest)"[...])) }
        let own = Listener.Owner(pid: 12, user: 61_184)
        let seen = try listener(#"users:(("dnsmasq",pid=12,fd=4)) uid:61184 ino:7 sk:1 cgroup:/a"#)
        #expect(seen.processes.map(\.pid) == [12] && seen.belongs(to: own))
        #expect(try listener("uid:61184 ino:7 sk:1 cgroup:/a").belongs(to: own))
        #expect(try !listener("uid:61185 ino:7 sk:1").belongs(to: own))
        // Another process of that user, and root's, whose number is left out.
        #expect(try !listener(#"users:(("dnsmasq",pid=13,fd=4)) uid:61184 ino:7"#).belongs(to: own))
        #expect(try !listener("ino:7 sk:1").belongs(to: own))
        #expect(try listener("ino:7 sk:1").belongs(to: Listener.Owner(pid: 1, user: 0)))
        // One that has ended has none.
        #expect(try !listener("ino:7 sk:1").belongs(to: Listener.Owner(process: .max)))
    }

    @Test func thePausesGrowUntilOneHasLived() {
        var backOff = BackOff()
        let pauses = (0..<10).map { _ in backOff.next() }
        #expect(pauses[0] == .milliseconds(200) && pauses[1] == .milliseconds(400) && pauses[9] == .seconds(30))
        backOff.note(lifetime: .seconds(5))
        #expect(backOff.next() == .seconds(30))
        backOff.note(lifetime: .seconds(61))
        #expect(backOff.next() == .milliseconds(200))
    }
}
