import AgentTestSupport
import Foundation

/// A host in a namespace, with another one outside of it that its default route leads to.
struct NetworkSite {
    let host: TestNamespace
    let outside: TestNamespace

    /// Runs `body` with both.
    ///
    /// - Parameters:
    ///   - rules: What other programs have loaded on the host.
    ///   - isBridgeFiltered: br_netfilter's setting there; nil leaves it as the kernel has it in a new namespace.
    ///   - mtu: Of the way out.
    ///   - body: What is done there.
    /// - Throws: What `body` does.
    static func with(
        rules: ForeignRules = .none,
        isBridgeFiltered: Bool? = nil,
        mtu: Int = 1500,
        _ body: (NetworkSite) async throws -> Void
    ) async throws {
        try await TestNamespace.with { host async throws in
            try await TestNamespace.with { outside async throws in
                try await host.connect("up0", "192.0.2.1/24", to: outside, "lan0", "192.0.2.2/24")
                try await host.run("ip", "link", "set", "up0", "mtu", "\(mtu)")
                try await outside.run("ip", "link", "set", "lan0", "mtu", "\(mtu)")
                try await host.run("ip", "route", "add", "default", "via", "192.0.2.2")
                try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                if let isBridgeFiltered {
                    let setting = "net.bridge.bridge-nf-call-iptables=\(isBridgeFiltered ? 1 : 0)"
                    try await host.run("sysctl", "-qw", setting)
                }
                try await rules.load(into: host)
                try await body(NetworkSite(host: host, outside: outside))
            }
        }
    }

    /// Everything in the host's namespace that the network's set-up could change.
    func state() async throws -> [String] {
        [
            try await host.run("ip", "link"), try await host.run("ip", "-4", "address"),
            try await host.run("ip", "route"), try await host.rules().joined(separator: "\n"),
        ]
    }

    /// The text of a page.
    static func fetch(_ url: String, in namespace: TestNamespace, patience: Int = 30) async throws -> String {
        try await namespace.run(
            "python3",
            "-c",
            "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())",
            url,
            String(patience)
        ).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    static func isReachable(_ url: String, in namespace: TestNamespace) async -> Bool {
        do {
            _ = try await fetch(url, in: namespace, patience: 3)
            return true
        } catch {
            return false
        }
    }

    /// Waits until a guest has booted and its server listens.
    func serves(_ url: String) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while await !Self.isReachable(url, in: host) {
            guard ContinuousClock.now < deadline else { throw ToolFailure(description: "nobody answers at \(url)") }
            try await Task.sleep(for: .milliseconds(200))
        }
    }
}
