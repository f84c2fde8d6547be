import AgentCore
import Testing

@Suite struct AddressPoolTests {
    private func pool(_ subnet: String, gateway: String, last: String? = nil) throws -> AddressPool {
        let network = Network(
            subnet: try #require(IPv4Subnet(subnet)),
            gateway: try #require(IPv4Address(gateway)),
            capacity: 1023
        )
        return AddressPool(network: network, last: last.flatMap(IPv4Address.init))
    }

    @Test func givesAddressesInTurnWithoutTheGateway() throws {
        var pool = try pool("192.0.2.0/29", gateway: "192.0.2.3")
        #expect(pool.size == 5)
        let given = try (0..<5).map { _ in try pool.next().description }
        #expect(given == ["192.0.2.1", "192.0.2.2", "192.0.2.4", "192.0.2.5", "192.0.2.6"])
    }

    @Test func aFreedOneRestsUntilTheOthersHadTheirTurn() throws {
        var pool = try pool("192.0.2.0/29", gateway: "192.0.2.1")
        let first = try pool.next()
        pool.free(first)
        let then = try (0..<4).map { _ in try pool.next() }
        #expect(!then.contains(first))
        #expect(try pool.next() == first, "the last one left")
    }

    @Test func aFullSubnetSaysSoAndServesAgainAfterAFree() throws {
        var pool = try pool("192.0.2.0/30", gateway: "192.0.2.1")
        let only = try pool.next()
        let error = #expect(throws: AgentError.self) { try pool.next() }
        #expect(error?.kind == .quotaExceeded && error?.code == "subnet_full")
        #expect(error?.message.contains("all 1 addresses") == true)
        #expect(error?.message.contains("192.0.2.0/30") == true && error?.message.contains("SUBNET_CIDR") == true)
        pool.free(only)
        #expect(try pool.next() == only)
    }

    @Test(arguments: ["192.0.2.4/31", "192.0.2.4/32"]) func aSubnetWithoutHostsIsFull(_ subnet: String) throws {
        var pool = try pool(subnet, gateway: "192.0.2.4")
        #expect(pool.size == 0)
        #expect(throws: AgentError.self) { try pool.next() }
    }

    @Test func goesOnAfterTheLastOfAnEarlierLife() throws {
        var pool = try pool("10.100.0.0/16", gateway: "10.100.0.1", last: "10.100.3.255")
        #expect(try pool.next().description == "10.100.4.0", "an ordinary address in a /16")
        var wrapping = try self.pool("10.100.0.0/16", gateway: "10.100.0.1", last: "10.100.255.254")
        #expect(try wrapping.next().description == "10.100.0.2")
        var elsewhere = try self.pool("10.100.0.0/16", gateway: "10.100.0.1", last: "172.16.0.9")
        #expect(try elsewhere.next().description == "10.100.0.2")
    }

    @Test func whatIsTakenIsSkippedAndOnlyWhatTheNetworkHasCanBe() throws {
        var pool = try pool("192.0.2.0/29", gateway: "192.0.2.1")
        #expect(pool.take(try #require(IPv4Address("192.0.2.2"))))
        #expect(!pool.take(try #require(IPv4Address("192.0.2.2"))), "twice")
        for other in ["192.0.2.0", "192.0.2.1", "192.0.2.7", "10.0.0.1"] {
            #expect(!pool.take(try #require(IPv4Address(other))), "\(other)")
        }
        #expect(try pool.next().description == "192.0.2.3")
    }

    @Test func aSlash16IsGivenWholeAndEachAddressOnce() throws {
        var pool = try pool("10.100.0.0/16", gateway: "10.100.0.1")
        var seen: Set<IPv4Address> = []
        for _ in 0..<65_533 { seen.insert(try pool.next()) }
        #expect(seen.count == 65_533)
        #expect(throws: AgentError.self) { try pool.next() }
        let freed = try #require(IPv4Address("10.100.77.7"))
        pool.free(freed)
        #expect(try pool.next() == freed)
    }

    @Test func theEndOfTheAddressSpaceIsNoEdge() throws {
        var pool = try pool("255.255.255.248/29", gateway: "255.255.255.249", last: "255.255.255.254")
        #expect(try pool.next().description == "255.255.255.250")
        var whole = try self.pool("0.0.0.0/0", gateway: "0.0.0.1", last: "255.255.255.255")
        #expect(try whole.next().description == "0.0.0.2")
    }
}
