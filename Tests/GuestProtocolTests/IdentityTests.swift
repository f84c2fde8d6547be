import AgentCore
import Foundation
import GuestProtocol
import NIOConcurrencyHelpers
import SystemPackage
import Testing

/// A guest whose memory is a copy of another's, and who is told so.
@Suite struct IdentityTests {
    private static let now = 1_800_000_000 * 1_000_000_000 + 5
    private static let former = network(mac: "02:00:0a:00:00:02", address: "10.0.0.2")

    private static func network(mac: String, address: String, gateway: String = "10.0.0.1")
        -> GuestConfiguration.Network
    {
        GuestConfiguration.Network(
            mac: mac,
            address: address,
            prefixLength: 24,
            gateway: gateway,
            nameServers: ["10.0.0.1"],
            searchDomains: ["hypeman.internal"],
            mtu: 1500
        )
    }

    private static func identity(
        _ name: String = "twin",
        machineID: String = String(repeating: "ab", count: 16),
        entropy: [UInt8] = [1, 2, 255],
        gateway: String = "10.0.0.1"
    ) -> GuestIdentity {
        GuestIdentity(
            news: GuestWakeUp(unixNanoseconds: now, entropy: entropy),
            instance: "other",
            hostname: name,
            machineID: machineID,
            formerMAC: "02:00:0a:00:00:99",
            network: network(mac: "02:00:0a:00:00:03", address: "10.0.0.3", gateway: gateway)
        )
    }

    @Test func theGuestBecomesAnotherInEveryRespect() async throws {
        try await LoopbackGuest.with(network: Self.former) { guest in
            let etc = guest.root.appending("etc").string
            try FileManager.default.createDirectory(atPath: etc, withIntermediateDirectories: true)
            let old = String(repeating: "0", count: 32) + "\n"
            try old.write(toFile: etc + "/machine-id", atomically: true, encoding: .utf8)
            let channel = try await guest.connect()
            #expect(channel.hello.features.contains(GuestFeature.identity))
            try await channel.identify(Self.identity())
            #expect(guest.news.withLockedValue { $0.time } == Self.now)
            #expect(guest.news.withLockedValue { $0.seed } == [1, 2, 255])
            #expect(guest.hostnames.withLockedValue { $0 } == ["twin"])
            let told = try #require(guest.networks.withLockedValue { $0.first })
            #expect(told.0 == Self.identity().network)
            #expect(told.formerMACs == ["02:00:0a:00:00:99", "02:00:0a:00:00:02"])
            func text(_ name: String) throws -> String {
                try String(contentsOfFile: etc + "/" + name, encoding: .utf8)
            }
            #expect(try text("machine-id") == String(repeating: "ab", count: 16) + "\n")
            #expect(try text("hostname") == "twin\n")
            #expect(try text("hosts").contains("10.0.0.3\ttwin.hypeman.internal twin"))
            #expect(try text("resolv.conf").contains("nameserver 10.0.0.1"))
            // Told twice, it knows who it was last.
            try await channel.identify(Self.identity("third"))
            let again = try #require(guest.networks.withLockedValue { $0.last })
            #expect(again.formerMACs == ["02:00:0a:00:00:99", "02:00:0a:00:00:03"])
            #expect(guest.hostnames.withLockedValue { $0 } == ["twin", "third"])
            await channel.close()
        }
    }

    @Test func aSystemWithoutAMachineIDGetsNone() async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            try await channel.identify(Self.identity())
            #expect(!FileManager.default.fileExists(atPath: guest.root.appending("etc/machine-id").string))
            await channel.close()
        }
    }

    @Test(arguments: [
        identity(machineID: "short"), identity(machineID: String(repeating: "AB", count: 16)), identity(""),
        identity(String(repeating: "a", count: 65)), identity(entropy: [UInt8](repeating: 1, count: 513)),
    ])
    func whatMakesNoSenseIsRefused(_ identity: GuestIdentity) async throws {
        try await LoopbackGuest.with { guest in
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) { try await channel.identify(identity) }
            #expect(error?.kind == .invalidArgument)
            #expect(guest.hostnames.withLockedValue { $0.isEmpty })
            await channel.close()
        }
    }

    @Test func whatTheKernelRefusesIsSaidAndCanBeTriedAgain() async throws {
        try await LoopbackGuest.with(network: Self.former) { guest in
            let channel = try await guest.connect()
            let error = await #expect(throws: AgentError.self) {
                try await channel.identify(Self.identity(gateway: "10.0.0.254"))
            }
            #expect(error?.kind == .unavailable)
            #expect(error?.message.contains("cannot set the default route") == true)
            try await channel.identify(Self.identity())
            let told = try #require(guest.networks.withLockedValue { $0.last })
            #expect(told.formerMACs.contains("02:00:0a:00:00:02"), "it was nobody else in between")
            await channel.close()
        }
    }
}
