import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Instances on the bridge, with real VMs: the host is a namespace, with another one outside of it.
@Suite(.serialized) struct NetworkTests {
    /// The host and what is outside; the host's way there is its default route.
    private struct Site {
        let host: TestNamespace
        let outside: TestNamespace

        static func with(_ body: (Site) async throws -> Void) async throws {
            try await TestNamespace.with { host async throws in
                try await TestNamespace.with { outside async throws in
                    try await host.connect("up0", "192.0.2.1/24", to: outside, "lan0", "192.0.2.2/24")
                    try await host.run("ip", "route", "add", "default", "via", "192.0.2.2")
                    try await host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
                    try await body(Site(host: host, outside: outside))
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
    }

    private static func fetch(_ url: String, in namespace: TestNamespace, patience: Int = 30) async throws -> String {
        try await namespace.run(
            "python3",
            "-c",
            "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])).read().decode())",
            url,
            String(patience)
        ).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static func isReachable(_ url: String, in namespace: TestNamespace) async -> Bool {
        do {
            _ = try await fetch(url, in: namespace, patience: 3)
            return true
        } catch {
            return false
        }
    }

    @Test func aWebServerIsReachedAndReachesOut() async throws {
        try await Scratch.with { scratch async throws in
            try await TestImages.debian(["lighttpd", "busybox"], image: scratch.appending("web.tar"))
            try await Site.with { site async throws in
                let before = try await site.state()
                let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2"]
                try await PrivateAgent.with(variables, namespace: site.host.name) { agent async throws in
                    try await agent.expect("import", scratch.appending("web.tar").string, "web:1")
                    for (name, port) in [("web", "8080:80"), ("peer", "8081:80")] {
                        try await agent.expect(
                            "run",
                            "-d",
                            "--name",
                            name,
                            "--memory",
                            "256MB",
                            "-p",
                            port,
                            "web:1",
                            "sh",
                            "-c",
                            "hostname > /var/www/html/index.html; exec lighttpd -D -f /etc/lighttpd/lighttpd.conf"
                        )
                    }
                    for address in ["10.100.0.2", "10.100.0.3"] { try await serves("http://\(address)/", site) }
                    try await checkInbound(site)
                    try await checkOutbound(agent, site)
                    try await checkKeptThroughRestarts(agent, site)
                    try await agent.expect("rm", "-f", "web", "peer")
                    #expect(try await !site.host.run("ip", "link").contains("hyptap"))
                }
                let after = try await site.state()
                #expect(after == before)
            }
        }
    }

    /// Waits until a guest has booted and its server listens.
    private func serves(_ url: String, _ site: Site) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while await !Self.isReachable(url, in: site.host) {
            guard ContinuousClock.now < deadline else { throw ToolFailure(description: "nobody answers at \(url)") }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func checkInbound(_ site: Site) async throws {
        for url in ["http://10.100.0.2/", "http://127.0.0.1:8080/", "http://192.0.2.1:8080/"] {
            #expect(try await Self.fetch(url, in: site.host) == "web", "\(url) from the host")
        }
        #expect(try await Self.fetch("http://192.0.2.1:8080/", in: site.outside) == "web")
        #expect(try await Self.fetch("http://192.0.2.1:8081/", in: site.outside) == "peer")
        // Even one that knows the way does not get in without a published port.
        try await site.outside.run("ip", "route", "add", "10.100.0.0/16", "via", "192.0.2.1")
        #expect(await !Self.isReachable("http://10.100.0.2/", in: site.outside))
        try await site.outside.run("ip", "route", "del", "10.100.0.0/16")
    }

    private func checkOutbound(_ agent: PrivateAgent, _ site: Site) async throws {
        let page =
            "import http.server; http.server.test(lambda *a: type('H', (http.server.BaseHTTPRequestHandler,), "
            + "{'do_GET': lambda s: (s.send_response(200), s.end_headers(), s.wfile.write(s.client_address[0].encode()))})(*a), "
            + "port=8000, bind='192.0.2.2')"
        let server = Task { try await site.outside.run("timeout", "300", "python3", "-c", page) }
        defer { server.cancel() }
        try await serves("http://192.0.2.2:8000/", site)
        func inside(_ name: String, _ command: String) async throws -> PrivateAgent.Outcome {
            try await agent.hypeman(["exec", name, "sh", "-c", command])
        }
        /// The last line of a page, by bash alone; nothing if there is no connection.
        func fetchInside(_ host: String, _ port: Int) async throws -> PrivateAgent.Outcome {
            try await inside(
                "web",
                "timeout 10 bash -c 'exec 3<>/dev/tcp/\(host)/\(port) && printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3 && tail -n 1 <&3'"
            )
        }
        let answer = try await fetchInside("192.0.2.2", 8000)
        #expect(answer.output == "192.0.2.1", "not masqueraded, or not there: \(answer)")
        // Its own published port shows that the way of asking works, the rest that it finds nobody.
        #expect(try await fetchInside("10.100.0.2", 80).output == "web\n")
        for (host, port) in [("10.100.0.3", 80), ("10.100.0.1", 22)] {
            let answer = try await fetchInside(host, port)
            #expect(answer.code != 0 && answer.output.isEmpty, "\(host):\(port) is open to it: \(answer)")
        }
        #expect(try await inside("web", "busybox ping -c 1 -W 5 10.100.0.1").code == 0)
        #expect(try await inside("web", "busybox nslookup peer.hypeman.internal").output.contains("10.100.0.3"))
        #expect(try await inside("web", "getent hosts peer").output.contains("10.100.0.3"))
        // The same address for those who ask for one themselves.
        let lease = try await inside("web", "busybox udhcpc -i eth0 -n -q -f -t 5 -T 2 -s /bin/true 2>&1")
        #expect(lease.code == 0 && lease.output.contains("lease of 10.100.0.2 obtained"), "\(lease)")
    }

    private func checkKeptThroughRestarts(_ agent: PrivateAgent, _ site: Site) async throws {
        await agent.stop(SIGKILL)
        #expect(try await Self.fetch("http://192.0.2.1:8080/", in: site.outside) == "web", "without an agent")
        try await agent.start()
        #expect(try await Self.fetch("http://192.0.2.1:8080/", in: site.outside) == "web", "after its restart")
        try await agent.expect("stop", "web")
        #expect(await !Self.isReachable("http://192.0.2.1:8080/", in: site.outside))
        try await agent.expect("start", "web")
        try await serves("http://10.100.0.2/", site)
        #expect(try await Self.fetch("http://10.100.0.2/", in: site.host) == "web", "it has kept its address")
        #expect(try await Self.fetch("http://192.0.2.1:8080/", in: site.outside) == "web")
    }
}
