import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

@Suite struct ConnectionsTests {
    /// Entries as conntrack(8) makes them; none of them is of a packet.
    private static func add(_ protocol: String, from: String, to: String, port: Int, in namespace: TestNamespace)
        async throws
    {
        try await namespace.run(
            "conntrack",
            "-I",
            "-p",
            `protocol`,
            "-s",
            from,
            "-d",
            to,
            "--sport",
            "1000",
            "--dport",
            "\(port)",
            "--timeout",
            "600"
        )
    }

    private static func list(_ namespace: TestNamespace) async throws -> [String] {
        try await namespace.run("conntrack", "-L").split(separator: "\n").map(String.init)
    }

    @Test func allConnectionsOfAnAddressAreForgottenAndNoOthers() async throws {
        try await LinkFixture.with { fixture in
            let namespace = fixture.namespace
            for number in 0..<150 {
                try await Self.add("udp", from: "10.100.0.2", to: "192.0.2.\(number)", port: 53, in: namespace)
            }
            try await Self.add("udp", from: "192.0.2.200", to: "10.100.0.2", port: 99, in: namespace)
            // Translated: the address is in the answers only.
            try await namespace.run(
                "conntrack",
                "-I",
                "-p",
                "udp",
                "-s",
                "192.0.2.201",
                "-d",
                "198.51.100.2",
                "--sport",
                "1000",
                "--dport",
                "8080",
                "-r",
                "10.100.0.2",
                "-q",
                "192.0.2.201",
                "--reply-port-src",
                "80",
                "--reply-port-dst",
                "1000",
                "--timeout",
                "600"
            )
            try await Self.add("udp", from: "10.100.0.20", to: "192.0.2.1", port: 53, in: namespace)
            #expect(try await Self.list(namespace).count == 153)
            let address = try #require(IPv4Address("10.100.0.2"))
            try await fixture.links.flushConnections(of: address)
            let left = try await Self.list(namespace)
            #expect(left.count == 1 && left[0].contains("src=10.100.0.20"))
        }
    }

    @Test func connectionsToAPublishedPortAreForgottenByTransport() async throws {
        try await LinkFixture.with { fixture in
            let namespace = fixture.namespace
            try await Self.add("udp", from: "192.0.2.1", to: "198.51.100.2", port: 8080, in: namespace)
            try await Self.add("udp", from: "192.0.2.1", to: "198.51.100.2", port: 8081, in: namespace)
            func forget(_ transport: PublishedPort.Transport) async throws {
                let port = PublishedPort(hostPort: 8080, guestPort: 80, transport: transport)
                let forward = PortForward(port: port, address: IPv4Address(value: 0x0a64_0002))
                try await fixture.links.flushConnections { forward.covers($0) }
            }
            try await forget(.tcp)
            #expect(try await Self.list(namespace).count == 2)
            try await forget(.udp)
            let left = try await Self.list(namespace)
            #expect(left.count == 1 && left[0].contains("dport=8081"))
        }
    }
}
