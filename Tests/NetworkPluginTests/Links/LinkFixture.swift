import AgentCore
import AgentTestSupport
import Foundation

@testable import NetworkPlugin

/// A bridge in a namespace of a test's own, and TAPs for it.
struct LinkFixture: Sendable {
    static let alias = "hypeman:hbr0"
    let namespace: TestNamespace
    let links: HostLinks
    let bridge: Link

    static let description = BridgeDescription(
        name: "hbr0",
        alias: alias,
        address: IPv4Address(value: 0x0a64_0001),
        prefixLength: 16,
        mtu: 1500,
        mac: MACAddress(derivedFrom: IPv4Address(value: 0x0a64_0001))
    )

    static func with<Value: Sendable>(_ body: (LinkFixture) async throws -> Value) async throws -> Value {
        try await TestNamespace.with { namespace in
            let links = HostLinks(network: HostNetwork(namespace: namespace.name))
            let bridge = try await links.createBridge(description)
            return try await body(LinkFixture(namespace: namespace, links: links, bridge: bridge))
        }
    }

    /// The instance with a number, from 2 on.
    func tap(_ number: Int, limits: BandwidthLimits = BandwidthLimits()) -> TapDescription {
        let address = IPv4Address(value: 0x0a64_0000 + UInt32(number))
        return TapDescription(
            name: "htap\(number)",
            alias: Self.alias,
            bridge: bridge.index,
            owner: getuid(),
            mac: MACAddress(derivedFrom: address),
            address: address,
            ifb: "hifb\(number)",
            limits: limits
        )
    }

    /// All that instances leave traces in: to compare before and after.
    func traces() async throws -> [String] {
        let links = try await links.links().map { "link \($0.name) \($0.alias ?? "")" }
        // Without the queues that the kernel gives to every device, and what IGMP and such set on devices themselves.
        let queues = try await lines("tc", "qdisc").filter { $0.contains("tbf") || $0.contains("ingress") }
        let forwarding = try await lines("bridge", "fdb").filter { $0.contains("master") }
        return try await links + queues + forwarding + lines("ip", "neigh")
    }

    private func lines(_ arguments: String...) async throws -> [String] {
        try await TestTools.run(arguments, in: namespace).split(separator: "\n").map(String.init)
    }
}
