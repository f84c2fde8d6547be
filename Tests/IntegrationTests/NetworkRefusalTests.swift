import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Hosts that the network cannot do with: said clearly, and nothing half made.
@Suite(.serialized) struct NetworkRefusalTests {
    /// A host that is not fit for the network.
    struct UnfitHost: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// Makes it so.
        var commands: [[String]] = []
        var variables: [String: String] = [:]
        /// A program that it lacks.
        var lacks: String?
        /// What `serve` ends with.
        var code: Int32 = 1
        /// What has to be said, by `serve` as by `check`: what is wrong, with its name, and what to do.
        let says: [String]

        static let all = [
            UnfitHost(
                testDescription: "a route into the subnet",
                commands: [["ip", "route", "add", "10.100.64.0/24", "dev", "up0"]],
                says: ["10.100.64.0/24", "'up0'", "set SUBNET_CIDR"]
            ),
            UnfitHost(
                testDescription: "an address of the subnet elsewhere",
                commands: [
                    ["ip", "link", "add", "docker0", "type", "bridge"],
                    ["ip", "address", "add", "10.100.0.1/24", "dev", "docker0"],
                ],
                says: ["10.100.0.0/24", "'docker0'", "set SUBNET_CIDR"]
            ),
            UnfitHost(
                testDescription: "a bridge with a foreign address",
                commands: [
                    ["ip", "link", "add", "vmbr0", "type", "bridge"],
                    ["ip", "address", "add", "10.200.0.1/16", "dev", "vmbr0"],
                ],
                says: ["'vmbr0'", "10.200.0.0/16", "set BRIDGE_NAME"]
            ),
            UnfitHost(
                testDescription: "a bridge of somebody else",
                commands: [["ip", "link", "add", "vmbr0", "type", "veth"]],
                says: ["'vmbr0'", "veth", "set BRIDGE_NAME"]
            ),
            UnfitHost(
                testDescription: "no forwarding",
                commands: [["sysctl", "-qw", "net.ipv4.ip_forward=0"]],
                says: ["net.ipv4.ip_forward=1 > /etc/sysctl.d"]
            ),
            UnfitHost(
                testDescription: "an uplink that is not there",
                variables: ["UPLINK_INTERFACE": "eth9"],
                says: ["'eth9' does not exist", "up0"]
            ),
            UnfitHost(
                testDescription: "Docker's bridge as the uplink",
                commands: [
                    ["ip", "link", "add", "docker0", "type", "bridge"], ["ip", "link", "set", "docker0", "up"],
                ],
                variables: ["UPLINK_INTERFACE": "docker0"],
                says: ["'docker0'", "up0"]
            ),
            UnfitHost(
                testDescription: "no dnsmasq",
                lacks: "dnsmasq",
                says: ["dnsmasq", "apt-get install dnsmasq-base"]
            ),
            UnfitHost(
                testDescription: "no nft",
                lacks: "nft",
                says: ["nft", "nftables"]
            ),
            UnfitHost(
                testDescription: "a subnet without hosts",
                variables: ["SUBNET_CIDR": "10.100.0.0/31"],
                code: 78,
                says: ["SUBNET_CIDR='10.100.0.0/31'"]
            ),
            UnfitHost(
                testDescription: "a gateway outside the subnet",
                variables: ["SUBNET_GATEWAY": "10.101.0.1"],
                code: 78,
                says: ["SUBNET_GATEWAY='10.101.0.1'", "10.100.0.0/16"]
            ),
        ]
    }

    @Test(arguments: UnfitHost.all) func aHostThatIsNotFitIsLeftAsItWas(_ unfit: UnfitHost) async throws {
        try await NetworkSite.with { site async throws in
            for command in unfit.commands { try await site.host.run(command) }
            let before = try await site.state()
            let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2"].merging(unfit.variables) { $1 }
            let said = try await PrivateAgent.refusedStart(
                variables,
                namespace: site.host.name,
                without: unfit.lacks,
                code: unfit.code
            )
            for words in unfit.says {
                #expect(said.start.contains(words), "serve: \(said.start)")
                #expect(said.check.contains(words), "check: \(said.check)")
            }
            #expect(!said.start.contains("AgentError("), "for people, and no Swift value: \(said.start)")
            let after = try await site.state()
            #expect(after == before)
        }
    }

    @Test func whatCannotBeConnectedIsRefusedAndLeavesNothing() async throws {
        try await NetworkSite.with { site async throws in
            // Room for five instances beside the gateway.
            let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2", "SUBNET_CIDR": "10.100.0.0/29"]
            try await PrivateAgent.with(variables, namespace: site.host.name) { agent async throws in
                let tar = agent.scratch.appending("busybox.tar")
                try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
                try await agent.expect("import", tar.string, "busybox:1")
                let program = ["busybox:1", "sleep", "1000"]
                func run(_ name: String, _ options: String...) -> [String] {
                    ["run", "-d", "--name", name, "--memory", "128MB"] + options
                }
                func refuse(_ name: String, _ options: String..., saying words: [String]) async throws {
                    let (host, files) = (try await site.state(), try agent.leftFiles())
                    let outcome = try await agent.hypeman(["run", "-d", "--name", name] + options + program)
                    #expect(outcome.code != 0, "\(outcome)")
                    for word in words { #expect(outcome.errors.contains(word), "\(outcome)") }
                    #expect(try await !agent.expect("ps", "-a", "--format", "json").contains(#""\(name)""#))
                    #expect(try agent.leftFiles() == files)
                    let after = try await site.state()
                    #expect(after == host)
                }

                try await Self.listening(on: 8080, of: site.host, in: agent.scratch) {
                    try await refuse("taken", "-p", "8080:80", saying: ["8080/tcp", "another program"])
                }
                try await agent.expect(run("one", "-p", "8081:80") + program)
                try await refuse("two", "-p", "8081:81", saying: ["8081/tcp", "'one'"])
                try await refuse("two", "--bandwidth-up", "1bps", saying: ["1bps"])
                try await refuse("two", "--network", "none", "-p", "8082:80", saying: ["need a network"])
                // Those that have ended keep their addresses.
                for number in 1...4 { try await agent.expect(run("ended-\(number)") + ["busybox:1", "true"]) }
                for number in 1...4 { try await agent.expect("wait", "ended-\(number)") }
                try await refuse("two", "-p", "8082:80", saying: ["10.100.0.0/29", "SUBNET_CIDR"])
                // It needs no address.
                try await agent.expect(run("alone", "--network", "none") + program)
                #expect(
                    try await agent.expect("exec", "--wait-for-agent", "1m", "alone", "ls", "/sys/class/net") == "lo"
                )
                // Its port and the only address are free again.
                let address = try await Self.address(of: "one", agent)
                try await agent.expect("rm", "-f", "one")
                try await agent.expect(run("two", "-p", "8081:80") + program)
                #expect(try await Self.address(of: "two", agent) == address)
            }
        }
    }

    private static func address(of name: String, _ agent: PrivateAgent) async throws -> String {
        let text = try await agent.expect("inspect", name)
        return String(text[try #require(text.firstMatch(of: try Regex(#"10\.100\.0\.\d+"#))?.range)])
    }

    /// Runs `body` while a program of the host listens on a port.
    private static func listening(
        on port: Int,
        of host: TestNamespace,
        in scratch: Scratch,
        _ body: () async throws -> Void
    ) async throws {
        let ready = scratch.appending("listening").string
        let program = """
            import socket, sys, time
            listener = socket.create_server(('', int(sys.argv[1])))
            open(sys.argv[2], 'w').close()
            time.sleep(300)
            """
        let server = Task { try await host.run("python3", "-c", program, "\(port)", ready) }
        defer { server.cancel() }
        let deadline = ContinuousClock.now + .seconds(30)
        while !FileManager.default.fileExists(atPath: ready) {
            guard ContinuousClock.now < deadline else { throw ToolFailure(description: "nobody listens on \(port)") }
            try await Task.sleep(for: .milliseconds(20))
        }
        try await body()
    }
}
