import AgentCore
import AgentTestSupport
import Foundation
import Testing

@testable import NetworkPlugin

@Suite struct NftSetsTests {
    private static func with(_ body: (TestNamespace, NftSets) async throws -> Void) async throws {
        try await TestNamespace.with { namespace in
            try await namespace.run("nft", "add table bridge hyp")
            try await namespace.run("nft", "add set bridge hyp ports { type ifname; }")
            try await namespace.run("nft", "add set bridge hyp addresses { type ifname . ether_addr . ipv4_addr; }")
            try await body(namespace, NftSets(network: HostNetwork(namespace: namespace.name)))
        }
    }

    private static func name(_ name: String) -> [UInt8] {
        Array(name.utf8) + [UInt8](repeating: 0, count: 16 - name.utf8.count)
    }

    private static func port(_ name: String, isAddition: Bool = true) -> NftSets.Change {
        NftSets.Change(set: "ports", key: Self.name(name), isAddition: isAddition)
    }

    /// What nft lists of a set.
    private static func elements(of set: String, in namespace: TestNamespace) async throws -> Set<JSONValue> {
        let listing = try NftListing(try await namespace.run("nft", "-j", "list", "set", "bridge", "hyp", set))
        return Set(listing.sets.flatMap(\.elements))
    }

    @Test func elementsAreAddedAndRemovedTogether() async throws {
        try await Self.with { namespace, sets in
            let key = Self.name("htap2") + [2, 0x68, 10, 100, 0, 2, 0, 0] + [10, 100, 0, 2]
            let address = NftSets.Change(set: "addresses", key: key, isAddition: true)
            try await sets.apply([Self.port("htap2"), Self.port("htap3"), address], table: "hyp")
            let listed = try await namespace.run("nft", "list", "table", "bridge", "hyp")
            #expect(listed.contains("\"htap2\" . 02:68:0a:64:00:02 . 10.100.0.2"))
            #expect(try await Self.elements(of: "ports", in: namespace) == [.string("htap2"), .string("htap3")])
            var removal = address
            removal.isAddition = false
            try await sets.apply([removal, Self.port("htap3", isAddition: false)], table: "hyp")
            #expect(try await Self.elements(of: "ports", in: namespace) == [.string("htap2")])
            #expect(try await Self.elements(of: "addresses", in: namespace) == [])
        }
    }

    @Test func whatIsThereOrGoneAlreadyIsNoError() async throws {
        try await Self.with { namespace, sets in
            try await sets.apply([Self.port("a")], table: "hyp")
            let changes = [
                Self.port("gone", isAddition: false), Self.port("a"), Self.port("lost", isAddition: false),
                Self.port("b"),
            ]
            try await sets.apply(changes, table: "hyp")
            try await sets.apply([Self.port("gone", isAddition: false)], table: "hyp")
            #expect(try await Self.elements(of: "ports", in: namespace) == [.string("a"), .string("b")])
        }
    }

    @Test func oneThatFailsKeepsAllFromBeingDone() async throws {
        try await Self.with { namespace, sets in
            let broken = NftSets.Change(set: "none", key: Self.name("a"), isAddition: true)
            let error = await #expect(throws: AgentError.self) {
                try await sets.apply([Self.port("a"), broken, Self.port("b")], table: "hyp")
            }
            #expect(error?.kind == .notFound && error?.message.contains("'none'") == true)
            let left = try await Self.elements(of: "ports", in: namespace)
            #expect(left == [])
            await #expect(throws: AgentError.self) { try await sets.apply([Self.port("a")], table: "other") }
        }
    }

    @Test func aThousandOfThemAreOneTransaction() async throws {
        try await Self.with { namespace, sets in
            let names = (0..<4000).map { "htap\($0)" }
            try await sets.apply(names.map { Self.port($0) }, table: "hyp")
            #expect(try await Self.elements(of: "ports", in: namespace) == Set(names.map(JSONValue.string)))
            try await sets.apply(names.map { Self.port($0, isAddition: false) }, table: "hyp")
            let left = try await Self.elements(of: "ports", in: namespace)
            #expect(left == [])
        }
    }
}
