import AgentCore
import Foundation
import Testing

@Suite struct IPv4AddressTests {
    @Test(arguments: ["0.0.0.0", "10.100.0.2", "255.255.255.255", "192.0.2.1"])
    func isReadBackAsWritten(_ text: String) throws {
        let address = try #require(IPv4Address(text))
        #expect(address.description == text)
        let json = try JSONEncoder().encode([address])
        #expect(String(decoding: json, as: UTF8.self) == "[\"\(text)\"]")
        #expect(try JSONDecoder().decode([IPv4Address].self, from: json) == [address])
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.0.0.1", "1.2.3.999", "01.2.3.4", "1.2.3.00",
        "1.2.3.-4", "1.2.3.+4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "a.b.c.d", "0x1.2.3.4", "١.2.3.4", "1.2.3.4/8",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(IPv4Address(text) == nil)
        let json = Data("[\"\(text.replacing("\n", with: "\\n"))\"]".utf8)
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([IPv4Address].self, from: json) }
    }

    @Test func bytesAreInTheOrderOfTheNetwork() throws {
        let address = try #require(IPv4Address("10.100.0.2"))
        #expect(address.bytes == [10, 100, 0, 2])
        #expect((address + 255).description == "10.100.1.1")
        #expect(address < address + 1)
    }
}

@Suite struct IPv4SubnetTests {
    private func subnet(_ text: String) throws -> IPv4Subnet { try #require(IPv4Subnet(text), "\(text)") }
    private func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text), "\(text)") }

    @Test(arguments: [
        ("10.100.0.0/16", "255.255.0.0", "10.100.255.255", 65_534), ("192.0.2.4/30", "255.255.255.252", "192.0.2.7", 2),
        ("192.0.2.4/31", "255.255.255.254", "192.0.2.5", 0), ("192.0.2.4/32", "255.255.255.255", "192.0.2.4", 0),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", 4_294_967_294),
        ("128.0.0.0/1", "128.0.0.0", "255.255.255.255", 2_147_483_646),
    ])
    func hasItsMaskItsEndAndItsHosts(_ text: String, _ mask: String, _ broadcast: String, _ hosts: Int) throws {
        let subnet = try subnet(text)
        #expect(subnet.description == text)
        #expect(subnet.netmask.description == mask)
        #expect(subnet.broadcast.description == broadcast)
        #expect(subnet.hosts.count == hosts)
        #expect(subnet.contains(subnet.base) && subnet.contains(subnet.broadcast))
        #expect(!subnet.hosts.contains(subnet.base.value) && !subnet.hosts.contains(subnet.broadcast.value))
        #expect(try JSONDecoder().decode(IPv4Subnet.self, from: JSONEncoder().encode(subnet)) == subnet)
    }

    @Test(arguments: [
        "", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/008", "10.0.0.0/8/8",
        "10.0.0/8", "10.0.0.0/ 8", "10.0.0.0/a", "10.0.0.1/8", "10.100.1.0/16",
    ])
    func anythingElseIsRefused(_ text: String) { #expect(IPv4Subnet(text) == nil) }

    @Test func containsWhatIsBetweenItsEnds() throws {
        let subnet = try subnet("10.100.0.0/16")
        for inside in ["10.100.0.0", "10.100.255.255"] { #expect(subnet.contains(try address(inside))) }
        for outside in ["10.99.255.255", "10.101.0.0"] { #expect(!subnet.contains(try address(outside))) }
        #expect(try self.subnet("0.0.0.0/0").contains(address("203.0.113.9")))
        #expect(IPv4Subnet(containing: try address("10.100.7.9"), prefixLength: 16) == subnet)
        #expect(IPv4Subnet(containing: try address("10.100.7.9"), prefixLength: 33) == nil)
        #expect(IPv4Subnet(containing: try address("10.100.7.9"), prefixLength: -1) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.100.0.0/16", true), ("10.100.0.0/16", "10.100.0.0/16", true),
        ("0.0.0.0/0", "10.0.0.0/8", true),
        ("10.100.0.0/16", "10.101.0.0/16", false), ("192.0.2.0/31", "192.0.2.2/31", false),
        ("192.0.2.1/32", "192.0.2.0/30", true),
    ])
    func overlapsInBothDirectionsAlike(_ first: String, _ second: String, _ overlap: Bool) throws {
        let (first, second) = (try subnet(first), try subnet(second))
        #expect(first.overlaps(second) == overlap)
        #expect(second.overlaps(first) == overlap)
    }
}

@Suite struct MACAddressTests {
    @Test func isDerivedFromAnAddressAndLocal() throws {
        let mac = MACAddress(derivedFrom: try #require(IPv4Address("10.100.0.2")))
        #expect(mac.description == "02:68:0a:64:00:02")
        #expect(mac.bytes[0] & 3 == 2, "locally administered, unicast")
        #expect(MACAddress("02:68:0A:64:00:02") == mac)
        #expect(try JSONDecoder().decode([MACAddress].self, from: JSONEncoder().encode([mac])) == [mac])
    }

    @Test(arguments: [
        "", "02:68:0a:64:00", "02:68:0a:64:00:02:03", "02-68-0a-64-00-02", "2:68:0a:64:00:02", "02:68:0a:64:00:0g",
        "02:68:0a:64:00:+2", "026:8:0a:64:00:02", "02:68:0a:64:00:02:", "02:68:0a:64:00:٠٢",
    ])
    func anythingElseIsRefused(_ text: String) { #expect(MACAddress(text) == nil) }

    @Test func hasSixBytes() { #expect(MACAddress(bytes: [1, 2, 3, 4, 5]) == nil) }
}

@Suite struct BitRateTests {
    @Test(arguments: [
        ("1bps", 1), ("64kbps", 64_000), ("100Mbps", 100_000_000), ("100mbps", 100_000_000), ("1GBPS", 1_000_000_000),
        ("10MB/s", 10 * 1_048_576 * 8), ("125mb/S", 125 * 1_048_576 * 8), ("8B/s", 64), ("0bps", 0),
    ])
    func isReadAsExistingClientsWriteIt(_ text: String, _ bits: Int) {
        #expect(BitRate(text) == BitRate(bitsPerSecond: bits))
    }

    @Test(arguments: [
        "", "bps", "100", "Mbps", "1.5Gbps", "-1Mbps", "+1Mbps", "1 Mbps", "100M", "100Mbit", "10MB", "/s", "10MB/",
        "9223372036854775808bps", "9223372036854775807kbps", "9223372036854775807B/s", "١Mbps",
    ])
    func anythingElseIsRefused(_ text: String) { #expect(BitRate(text) == nil) }

    @Test(arguments: [0, 1, 999, 1000, 1500, 64_000, 1_500_000, 100_000_000, 1_000_000_000, 83_886_080])
    func isReadBackAsWritten(_ bits: Int) {
        let rate = BitRate(bitsPerSecond: bits)
        #expect(BitRate(rate.description) == rate, "\(rate)")
    }

    @Test func isWrittenInTheLargestUnitThatIsExact() {
        #expect(BitRate(bitsPerSecond: 10_000_000).description == "10Mbps")
        #expect(BitRate(bitsPerSecond: 1_500_000).description == "1500kbps")
        #expect(BitRate(bitsPerSecond: 1).description == "1bps")
    }
}

@Suite struct PublishedPortTests {
    @Test(arguments: [
        ("8080:80", 8080, 80, PublishedPort.Transport.tcp), ("5353:53/udp", 5353, 53, .udp),
        ("1:65535/tcp", 1, 65535, .tcp),
    ])
    func isRead(_ text: String, _ host: UInt16, _ guest: UInt16, _ transport: PublishedPort.Transport) throws {
        let port = try #require(PublishedPort(text))
        #expect(port == PublishedPort(hostPort: host, guestPort: guest, transport: transport))
        #expect(PublishedPort(port.description) == port)
    }

    @Test(arguments: [
        "", "80", ":80", "80:", "0:80", "80:0", "65536:80", "80:65536", "-1:80", "+1:80", "80:80/", "80:80/sctp",
        "80:80/tcp/udp", "80:80:80", "127.0.0.1:80:80", "80:80/TCP", " 80:80", "http:80", "٨٠:80", "/tcp",
    ])
    func anythingElseIsRefused(_ text: String) { #expect(PublishedPort(text) == nil) }
}
