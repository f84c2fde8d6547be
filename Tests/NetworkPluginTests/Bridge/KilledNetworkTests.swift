import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Processes that attach and detach, and are killed in the middle of it.
@Suite struct KilledNetworkTests {
    /// All that instances leave traces in, by what it is.
    private static func traces(in host: TestNamespace, _ directory: FilePath) async throws -> [String: [String]] {
        func lines(_ command: String..., with marks: String...) async throws -> [String] {
            try await host.run(command).split(separator: "\n").map(String.init).filter { line in
                marks.contains { line.contains($0) }
            }
        }
        var traces = [
            "devices": try await lines("ip", "link", with: "hyptap", "hypifb"),
            "qdiscs": try await lines("tc", "qdisc", with: "tbf", "ingress"),
            "forwarding entries": try await lines("bridge", "fdb", with: "hyptap"),
            "neighbours": try await lines("ip", "neigh", with: "10.100."),
            "published ports": try await lines("iptables-nft-save", with: "--dport 200"),
            "sets": try await lines("nft", "list", "ruleset", with: "hyptap"),
            // Without those by which the agent asks its own name server.
            "connections": try await lines("conntrack", "-L", with: "10.100.").filter { line in
                line.replacing("=10.100.0.1 ", with: " ").contains("10.100.")
            },
        ]
        for kind in ["names", "reservations"] {
            let path = directory.appending(kind).string
            traces[kind] = try FileManager.default.contentsOfDirectory(atPath: path)
        }
        return traces.filter { !$0.value.isEmpty }
    }

    /// Waits until what a killed process had started, as an iptables, has ended; dnsmasq is to outlive it.
    private static func waitForTools(in host: TestNamespace) async throws {
        while true {
            let pids = try await host.run("ip", "netns", "pids", host.name).split(separator: "\n")
            // The very `ip` that looks is there, too; one that has ended meanwhile has no name any more.
            let names = pids.compactMap { try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8) }
            if names.allSatisfy({ ["dnsmasq\n", "ip\n"].contains($0) }) { return }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    @Test func twoHundredCyclesTwentyOfThemKilledLeaveNothing() async throws {
        try await Scratch.with { scratch async throws in
            try await TestNamespace.with { host async throws in
                try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                let rules = try await host.rules()
                let links = try await host.run("ip", "-br", "link")
                let directory = scratch.appending("network")
                var cutsThatLeftSomething = 0
                for _ in 0..<20 {
                    let driver = try NetworkDriverProcess(in: host, directory: directory)
                    try await driver.perform("reconcile 0")
                    var last = Duration.zero
                    for number in 1...9 {
                        last = try await driver.perform("attach \(number) port limits")
                        try await driver.perform("detach \(number)")
                    }
                    try await driver.begin("attach 10 port limits")
                    #expect(try await driver.line() == "attaching")
                    // Anywhere from before its first step to after its last.
                    try await Task.sleep(for: last * Double.random(in: 0...1.2))
                    await driver.kill()
                    try await Self.waitForTools(in: host)
                    if try await !Self.traces(in: host, directory).isEmpty { cutsThatLeftSomething += 1 }
                }
                #expect(cutsThatLeftSomething > 0, "no cut was in the middle of anything")
                let driver = try NetworkDriverProcess(in: host, directory: directory)
                try await driver.perform("reconcile 0")
                let left = try await Self.traces(in: host, directory)
                #expect(left == [:])
                try await driver.perform("teardown")
                try await driver.end()
                #expect(try await host.rules() == rules)
                #expect(try await host.run("ip", "-br", "link") == links)
            }
        }
    }
}
