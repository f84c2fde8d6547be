import Foundation

/// A network namespace of a test's own, and others around it that stand for the outside and for guests.
///
/// Needs root. Nothing that happens in it is seen or felt on the machine's own network.
public struct TestNamespace: Sendable {
    /// Under /run/netns.
    public let name: String

    /// One of that name, which must be there to be used.
    public init(name: String) { self.name = name }

    /// Runs `body` with a new, empty namespace whose loopback is up, and removes it afterwards.
    public static func with<Value: Sendable>(_ body: (TestNamespace) async throws -> Value) async throws -> Value {
        let namespace = TestNamespace(name: "hyp-\(getpid())-\(UUID().uuidString.prefix(8).lowercased())")
        try await tool("ip", ["netns", "add", namespace.name])
        do {
            try await namespace.run("ip", "link", "set", "lo", "up")
            let value = try await body(namespace)
            try await namespace.remove()
            return value
        } catch {
            try await namespace.remove()
            throw error
        }
    }

    /// Runs a tool inside, which must succeed.
    @discardableResult
    public func run(_ arguments: String...) async throws -> String { try await run(arguments) }

    /// Runs a tool inside, which must succeed.
    @discardableResult
    public func run(_ arguments: [String]) async throws -> String {
        try await tool("ip", ["netns", "exec", name] + arguments)
    }

    /// Every rule of iptables and nftables, without what changes by itself: their comments have the time of day, and
    /// counters count whatever the kernel sends.
    public func rules() async throws -> [String] {
        var lines: [String] = []
        for command in [["iptables-nft-save"], ["ip6tables-nft-save"], ["nft", "list", "ruleset"]] {
            lines += try await run(command).split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
        }
        return lines.map { line in
            line.replacing(/counter packets \d+ bytes \d+/, with: "counter").replacing(/\[\d+:\d+\]/, with: "[0:0]")
        }
    }

    /// Joins this namespace to another one by a cable, an end with an address in each.
    public func connect(
        _ interface: String,
        _ address: String,
        to other: TestNamespace,
        _ otherInterface: String,
        _ otherAddress: String
    ) async throws {
        try await addCable(interface, to: other, otherInterface)
        for (namespace, interface, address) in [(self, interface, address), (other, otherInterface, otherAddress)] {
            try await namespace.run("ip", "address", "add", address, "dev", interface)
            try await namespace.run("ip", "link", "set", interface, "up")
        }
    }

    /// A cable to another namespace, whose ends have no addresses and are down.
    public func addCable(_ interface: String, to other: TestNamespace, _ otherInterface: String) async throws {
        let ends = ["add", interface, "type", "veth", "peer", "name", otherInterface, "netns", other.name]
        try await run(["ip", "link"] + ends)
    }

    private func remove() async throws {
        try await tool("ip", ["netns", "del", name])
    }
}
