import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import NetworkPlugin

/// A real dnsmasq in a network namespace.
@Suite struct NameServiceTests {
    @Test func instancesHaveNamesBothWaysAndNoOthersAreKnown() async throws {
        try await NameServiceFixture.with { fixture in
            try await fixture.withService(try fixture.configuration()) { service in
                let pid = await service.running?.process.identity.pid
                let web = try NameServiceFixture.endpoint("web", "10.9.0.5")
                try await service.put(web)
                #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")
                #expect(try await fixture.ask("10.9.0.5", type: "ptr") == "web.hypeman.internal")
                #expect(try await fixture.ask("other.hypeman.internal") == "NXDOMAIN")
                #expect(try await fixture.ask("10.9.0.6", type: "ptr") == "NXDOMAIN")

                // The same address under another name, as a rename or the next owner has it.
                let shop = try NameServiceFixture.endpoint("shop", "10.9.0.5")
                try await service.put(shop)
                #expect(try await fixture.ask("web.hypeman.internal") == "NXDOMAIN")
                #expect(try await fixture.ask("10.9.0.5", type: "ptr") == "shop.hypeman.internal")
                // What is late must not hit the next owner.
                try await service.remove(web)
                #expect(try await fixture.ask("shop.hypeman.internal") == "10.9.0.5")
                for _ in 0..<2 { try await service.remove(shop) }
                #expect(try await fixture.ask("shop.hypeman.internal") == "NXDOMAIN")
                #expect(try await fixture.ask("10.9.0.5", type: "ptr") == "NXDOMAIN")
                #expect(await service.running?.process.identity.pid == pid)
            }
        }
    }

    @Test func otherNamesAreForwardedToTheConfiguredServer() async throws {
        try await NameServiceFixture.with { fixture in
            try await TestNamespace.with { outside in
                try await fixture.namespace.connect("up0", "10.8.0.2/24", to: outside, "eth0", "10.8.0.1/24")
                try await ForeignServer.with(
                    in: outside,
                    // It would answer for instances, too, if it were asked.
                    ["--address=/example.test/192.0.2.7", "--address=/hypeman.internal/192.0.2.8"],
                    scratch: fixture.scratch
                ) { _ in
                    let server = try #require(IPv4Address("10.8.0.1"))
                    try await fixture.withService(try fixture.configuration(dnsServers: [server])) { service in
                        #expect(try await fixture.ask("www.example.test") == "192.0.2.7")
                        #expect(try await fixture.ask("nobody.hypeman.internal") == "NXDOMAIN")
                        try await service.put(try NameServiceFixture.endpoint("web", "10.9.0.5"))
                        #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")
                    }
                }
            }
        }
    }

    @Test func aClientIsGivenItsAddressAndNobodyElseOne() async throws {
        try await NameServiceFixture.with { fixture in
            try await fixture.withService(try fixture.configuration(), mtu: 1400) { service in
                let web = try NameServiceFixture.endpoint("web", "10.9.0.5")
                try await service.put(web)
                try await ForeignGuest.with(fixture, mac: web.attachment.mac) { guest async throws in
                    // What a client calls itself is of no account.
                    let lease = try #require(try await guest.lease("-x", "hostname:evil"))
                    #expect(lease["ip"] == "10.9.0.5" && lease["mask"] == "24" && lease["router"] == "10.9.0.1")
                    #expect(lease["dns"] == "10.9.0.1" && lease["mtu"] == "1400")
                    #expect(lease["domain"] == "hypeman.internal" && lease["search"] == "hypeman.internal")
                    #expect(try await fixture.ask("evil.hypeman.internal") == "NXDOMAIN")

                    // Deleted: neither the name nor the address outlives it, though the client has a lease. Not the
                    // first that goes, which is forgotten at once.
                    let first = try NameServiceFixture.endpoint("first", "10.9.0.6")
                    try await service.put(first)
                    try await service.remove(first)
                    try await service.remove(web)
                    #expect(try await fixture.ask("web.hypeman.internal") == "NXDOMAIN")
                    try await NameServiceFixture.eventually("the end of the reservation") {
                        try await guest.lease() == nil
                    }

                    // The next owner of the address has the same MAC, as it is derived, and may have another client id.
                    try await service.put(try NameServiceFixture.endpoint("next", "10.9.0.5"))
                    let next = try #require(try await guest.lease("-C", "-x", "0x3d:ff00112233"))
                    #expect(next["ip"] == "10.9.0.5")
                    #expect(try await fixture.ask("10.9.0.5", type: "ptr") == "next.hypeman.internal")
                }
                let stranger = try #require(MACAddress("02:68:0a:09:00:63"))
                try await ForeignGuest.with(fixture, mac: stranger) { guest async throws in
                    #expect(try await guest.lease() == nil)
                }
            }
        }
    }

    @Test func oneThatIsKilledIsStartedAgainAndKnowsWhatItKnew() async throws {
        try await NameServiceFixture.with { fixture in
            try await fixture.withService(try fixture.configuration()) { service in
                let web = try NameServiceFixture.endpoint("web", "10.9.0.5")
                try await service.put(web)
                try await ForeignGuest.with(fixture, mac: web.attachment.mac) { guest async throws in
                    #expect(try await guest.lease()?["ip"] == "10.9.0.5")
                    let first = try #require(await service.running).process
                    first.signal(9)
                    try await NameServiceFixture.eventually("a new dnsmasq") {
                        let running = await service.running
                        return running != nil && running?.process.identity != first.identity
                    }
                    #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")
                    // It does not remember the lease, and confirms it nevertheless.
                    #expect(try await guest.lease("-r", "10.9.0.5")?["ip"] == "10.9.0.5")
                    try await service.start(mtu: 1500)
                }
            }
        }
    }

    @Test func theNextLifeTakesOverTheOneThatRunsAndReplacesOneThatWasToldSomethingElse() async throws {
        try await NameServiceFixture.with { fixture in
            let configuration = try fixture.configuration()
            let first = fixture.makeService(configuration)
            try await first.start(mtu: 1500)
            let identity = try #require(await first.running).process.identity
            try await first.start(mtu: 1500)
            #expect(await first.running?.process.identity == identity)
            await first.release()
            try await fixture.withService(configuration) { second in
                #expect(await second.running?.process.identity == identity)
                try await second.put(try NameServiceFixture.endpoint("web", "10.9.0.5"))
                #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")

                try await second.start(mtu: 1400)
                let next = try #require(await second.running).process.identity
                #expect(next != identity)
                #expect(try await second.supervisor.adopt(identity) == nil)
                #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")

                // DHCP is bound to the device: one of the same name that was made anew is another.
                try await fixture.namespace.run("ip", "link", "delete", "vmbr0")
                try await fixture.makeBridge("vmbr0", "10.9.0.1/24")
                try await second.start(mtu: 1400)
                #expect(await second.running?.process.identity != next)
                let web = try NameServiceFixture.endpoint("web", "10.9.0.5")
                try await ForeignGuest.with(fixture, mac: web.attachment.mac) { guest async throws in
                    #expect(try await guest.lease()?["ip"] == "10.9.0.5")
                }
            }
            let rest = try await first.supervisor.find(mark: await first.mark)
            #expect(rest.isEmpty)
        }
    }

    @Test func twoNetworksOnOneHostDoNotDisturbEachOther() async throws {
        try await NameServiceFixture.with { fixture in
            try await fixture.makeBridge("vmbr1", "10.10.0.1/20")
            let other = try fixture.configuration(bridge: "vmbr1", subnet: "10.10.0.0/20")
            try await fixture.withService(try fixture.configuration()) { first in
                try await fixture.withService(other) { second in
                    let web = try NameServiceFixture.endpoint("web", "10.9.0.5")
                    let shop = try NameServiceFixture.endpoint("shop", "10.10.15.5")
                    try await first.put(web)
                    try await second.put(shop)
                    #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")
                    #expect(try await fixture.ask("web.hypeman.internal", "10.10.0.1") == "NXDOMAIN")
                    #expect(try await fixture.ask("shop.hypeman.internal", "10.10.0.1") == "10.10.15.5")
                    try await ForeignGuest.with(fixture, mac: shop.attachment.mac, bridge: "vmbr1") {
                        guest async throws in
                        #expect(try await guest.lease()?["ip"] == "10.10.15.5")
                    }
                    try await ForeignGuest.with(fixture, mac: web.attachment.mac) { guest async throws in
                        #expect(try await guest.lease()?["ip"] == "10.9.0.5")
                    }
                    let sockets = try await fixture.namespace.run("ss", "-Hlntu")
                    #expect(!sockets.contains("127.0.0.1") && !sockets.contains("0.0.0.0:53"), "\(sockets)")
                    #expect(await first.findings().map(\.level) == [.ok])
                }
            }
        }
    }

    @Test func manyInstancesComeAndGoWithoutATrace() async throws {
        try await NameServiceFixture.with { fixture in
            let configuration = try fixture.configuration()
            let service = fixture.makeService(configuration)
            try await service.start(mtu: 1500)
            let process = try #require(await service.running).process
            let directory = configuration.directory.string
            let before = try FileManager.default.subpathsOfDirectory(atPath: directory).sorted()
            let began = ContinuousClock.now
            for number in 0..<200 {
                let endpoint = try NameServiceFixture.endpoint("i\(number)", "10.9.0.\(2 + number)")
                try await service.put(endpoint)
                if number % 20 == 0 {
                    #expect(try await fixture.ask("i\(number).hypeman.internal") == "10.9.0.\(2 + number)")
                }
                try await service.remove(endpoint)
            }
            #expect(try FileManager.default.subpathsOfDirectory(atPath: directory).sorted() == before)
            #expect(try await fixture.ask("i0.hypeman.internal") == "NXDOMAIN")
            // It reads everything for all that have gone meanwhile, and not for each.
            let log = try await String(contentsOfFile: service.files.paths.log.string, encoding: .utf8)
            let readings = log.split(separator: "\n").count { $0.hasSuffix("cleared cache") }
            let seconds = Int(began.duration(to: .now) / .seconds(1))
            #expect((2...seconds + 2).contains(readings), "\(readings) readings in \(seconds) s")

            let kept = try NameServiceFixture.endpoint("kept", "10.9.0.2")
            try await service.put(try NameServiceFixture.endpoint("gone", "10.9.0.3"))
            try await service.reconcile([kept])
            #expect(try await fixture.ask("kept.hypeman.internal") == "10.9.0.2")
            #expect(try await fixture.ask("gone.hypeman.internal") == "NXDOMAIN")
            #expect(await service.running?.process.identity == process.identity)

            for _ in 0..<2 { try await service.stop() }
            #expect(try FileManager.default.subpathsOfDirectory(atPath: directory) == [])
            #expect(try await service.supervisor.adopt(process.identity) == nil)
        }
    }

    @Test func aBridgeThatIsMissingAndAPortThatIsTakenAreNamed() async throws {
        try await NameServiceFixture.with { fixture in
            let missing = fixture.makeService(try fixture.configuration(bridge: "vmbr9", subnet: "10.19.0.0/24"))
            let error = await #expect(throws: AgentError.self) { try await missing.start(mtu: 1500) }
            #expect(error?.kind == .invalidState && error?.message.contains("vmbr9") == true)

            try await ForeignServer.with(in: fixture.namespace, [], scratch: fixture.scratch) { pid in
                let service = fixture.makeService(try fixture.configuration())
                let findings = await service.findings().filter { $0.level == .error }
                #expect(Set(findings.map(\.subject)) == ["port 53/tcp", "port 53/udp"])
                #expect(findings.allSatisfy { $0.message.contains("dnsmasq (pid \(pid))") }, "\(findings)")
                let error = await #expect(throws: AgentError.self) { try await service.start(mtu: 1500) }
                #expect(error?.code == "name_service_failed", "\(String(describing: error))")
                #expect(error?.message.contains("Address already in use") == true, "\(String(describing: error))")
                let left = try await service.supervisor.find(mark: await service.mark)
                #expect(left.isEmpty)
                try await service.stop()
            }
        }
    }

    @Test func itHasNoRightsBeyondThoseItNeeds() async throws {
        try await NameServiceFixture.with { fixture in
            try await fixture.withService(try fixture.configuration()) { service in
                let pid = try #require(await service.running).process.identity.pid
                let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
                let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("CapEff:") })
                let mask = try #require(line.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) })
                let dacReadSearch: UInt64 = 1 << 2
                #expect(mask == Set(ProcessCapability.allCases).mask | dacReadSearch)
            }
        }
    }

    /// As the packaged service runs it: an ordinary user with two capabilities.
    @Test func anOrdinaryUserWithTwoCapabilitiesCanRunIt() async throws {
        try await NameServiceFixture.with { fixture in
            let bridge = try fixture.configuration()
            let device = try await fixture.network.run { if_nametoindex("vmbr0") }
            let configuration = NameServiceConfiguration(bridge, device: device, mtu: 1500, isRoot: false)
            let files = NameServiceFiles(directory: bridge.directory)
            try await files.write(configuration)
            try await files.put(try NameServiceFixture.endpoint("web", "10.9.0.5"))
            try await tool("chown", ["-R", "nobody", fixture.scratch.path.string])
            let capabilities = "-all,+net_admin,+net_bind_service"
            let command = fixture.network.command(
                "setpriv",
                [
                    "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=\(capabilities)",
                    "--ambient-caps=\(capabilities)", "--bounding-set=\(capabilities)", "dnsmasq",
                ] + configuration.arguments
            )
            let probe = NameServiceProbe(address: bridge.gateway, network: fixture.network)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Ends only when it is cancelled, or fails.
                group.addTask { try await tool(command.executable, command.arguments) }
                group.addTask {
                    try await withDeadline(.seconds(30), clock: ContinuousClock(), "an answer") {
                        try await probe.waitForAnswer()
                    }
                }
                try await group.next()
                #expect(try await fixture.ask("web.hypeman.internal") == "10.9.0.5")
                group.cancelAll()
            }
        }
    }
}
