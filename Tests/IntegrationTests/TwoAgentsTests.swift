import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Two agents on one host, each with a bridge, a state and a VM of its own.
@Suite(.serialized) struct TwoAgentsTests {
    private static let page = "hostname >/srv/index.html; exec busybox httpd -f -p 80 -h /srv"

    /// Runs `body` with an agent and its web server at `address`, published at `port`.
    private static func withAgent(
        _ name: String,
        bridge: String,
        subnet: String,
        address: String,
        port: Int,
        at site: NetworkSite,
        _ body: (PrivateAgent) async throws -> Void
    ) async throws {
        let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2", "BRIDGE_NAME": bridge, "SUBNET_CIDR": subnet]
        try await PrivateAgent.with(variables, namespace: site.host.name) { agent async throws in
            let tar = agent.scratch.appending("busybox.tar")
            let tree = try await TestImages.busyboxTree(in: agent.scratch)
            try await tool("ln", ["-s", "busybox", tree.pushing(FilePath("bin/hostname")).string])
            try await TestImages.tar(tree, to: tar)
            try await agent.expect("import", tar.string, "busybox:1")
            try await agent.expect(
                ["run", "-d", "--name", name, "--memory", "128MB", "-p", "\(port):80", "busybox:1", "sh", "-c", page]
            )
            try await site.serves("http://\(address)/")
            try await body(agent)
        }
    }

    /// What is on the host, whatever the order: each agent puts its own chains first when it starts.
    private static func rules(of site: NetworkSite) async throws -> [String] {
        try await site.state().flatMap { $0.split(separator: "\n").map(String.init) }.sorted()
    }

    @Test func neitherDisturbsTheOther() async throws {
        try await NetworkSite.with { site async throws in
            let before = try await site.state()
            func check(_ name: String, _ address: String, _ port: Int) async throws {
                #expect(try await NetworkSite.fetch("http://\(address)/", in: site.host) == name)
                #expect(try await NetworkSite.fetch("http://192.0.2.1:\(port)/", in: site.outside) == name)
            }
            func reaches(_ agent: PrivateAgent, _ name: String, _ address: String) async throws -> Bool {
                try await agent.hypeman("exec", name, "busybox", "ping", "-c", "1", "-W", "3", address)
                    .code == 0
            }
            try await Self.withAgent(
                "left",
                bridge: "vmbr0",
                subnet: "10.100.0.0/16",
                address: "10.100.0.2",
                port: 8080,
                at: site
            ) { left async throws in
                let alone = try await Self.rules(of: site)
                try await Self.withAgent(
                    "right",
                    bridge: "vmbr1",
                    subnet: "10.101.0.0/16",
                    address: "10.101.0.2",
                    port: 8081,
                    at: site
                ) { right async throws in
                    try await check("left", "10.100.0.2", 8080)
                    try await check("right", "10.101.0.2", 8081)
                    #expect(try await reaches(left, "left", "10.100.0.2"), "the way of asking works")
                    #expect(try await !reaches(left, "left", "10.101.0.2"))
                    #expect(try await !reaches(right, "right", "10.100.0.2"))
                    // A port is given once on a host, whoever gives it.
                    #expect(
                        try await right.refusal("run", "-d", "-p", "8080:80", "busybox:1", "true").contains("8080/tcp")
                    )
                    // Both look at the host again, the one after a crash, and find nothing to do.
                    let both = try await Self.rules(of: site)
                    await left.stop(SIGKILL)
                    try await left.start()
                    let after = try await Self.rules(of: site)
                    #expect(after == both)
                    try await check("left", "10.100.0.2", 8080)
                    try await check("right", "10.101.0.2", 8081)
                }
                // The other went, with all that it made and nothing else.
                let after = try await Self.rules(of: site)
                #expect(after == alone)
                try await check("left", "10.100.0.2", 8080)
            }
            let after = try await site.state()
            #expect(after == before)
        }
    }
}
