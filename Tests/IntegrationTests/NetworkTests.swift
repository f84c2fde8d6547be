import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Instances on the bridge, with real VMs: the host is a namespace, with another one outside of it.
@Suite(.serialized) struct NetworkTests {
    private typealias Site = NetworkSite

    /// A web server, and for the limits one that takes all at port 9001 and one that gives all at 9002.
    private static let program = """
        hostname > /var/www/html/index.html
        busybox nc -l -p 9001 </dev/null >/dev/null &
        busybox nc -l -p 9002 </dev/zero >/dev/null &
        exec lighttpd -D -f /etc/lighttpd/lighttpd.conf
        """
    /// In Mbit/s.
    private static let limit = 20

    /// Beside Docker's rules; without br_netfilter, so that instances reach one another's published ports.
    @Test func aWebServerIsReachedAndReachesOut() async throws {
        try await Scratch.with { scratch async throws in
            try await TestImages.debian(["lighttpd", "busybox"], image: scratch.appending("web.tar"))
            try await Site.with(rules: .docker, isBridgeFiltered: false, mtu: 1420) { site async throws in
                let before = try await site.state()
                let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2"]
                try await PrivateAgent.with(variables, namespace: site.host.name) { agent async throws in
                    try await agent.expect("import", scratch.appending("web.tar").string, "web:1")
                    let limits = ["--bandwidth-up", "\(Self.limit)Mbps", "--bandwidth-down", "\(Self.limit)Mbps"]
                    for (name, options) in [("web", ["-p", "8080:80"]), ("peer", ["-p", "8081:80"] + limits)] {
                        try await agent.expect(
                            ["run", "-d", "--name", name, "--memory", "256MB"] + options + [
                                "web:1", "sh", "-c", Self.program,
                            ]
                        )
                    }
                    for address in ["10.100.0.2", "10.100.0.3"] { try await site.serves("http://\(address)/") }
                    try await checkInbound(site)
                    try await checkOutbound(agent, site)
                    try await checkLimits(agent, site)
                    try await checkGuest(agent)
                    try await checkForgeries(agent, site)
                    try await checkKeptThroughRestarts(agent, site)
                    try await agent.expect("rm", "-f", "web", "peer")
                    #expect(try await !site.host.run("ip", "link").contains("hyptap"))
                }
                let after = try await site.state()
                #expect(after == before)
            }
        }
    }

    private func checkInbound(_ site: Site) async throws {
        for url in ["http://10.100.0.2/", "http://127.0.0.1:8080/", "http://192.0.2.1:8080/"] {
            #expect(try await Site.fetch(url, in: site.host) == "web", "\(url) from the host")
        }
        #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "web")
        #expect(try await Site.fetch("http://192.0.2.1:8081/", in: site.outside) == "peer")
        // Even one that knows the way does not get in without a published port.
        try await site.outside.run("ip", "route", "add", "10.100.0.0/16", "via", "192.0.2.1")
        #expect(await !Site.isReachable("http://10.100.0.2/", in: site.outside))
        try await site.outside.run("ip", "route", "del", "10.100.0.0/16")
    }

    private func checkOutbound(_ agent: PrivateAgent, _ site: Site) async throws {
        let page =
            "import http.server; http.server.test(lambda *a: type('H', (http.server.BaseHTTPRequestHandler,), "
            + "{'do_GET': lambda s: (s.send_response(200), s.end_headers(), s.wfile.write(s.client_address[0].encode()))})(*a), "
            + "port=8000, bind='192.0.2.2')"
        let server = Task { try await site.outside.run("timeout", "300", "python3", "-c", page) }
        defer { server.cancel() }
        try await site.serves("http://192.0.2.2:8000/")
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
        // Another's published port is open to all, itself included.
        for (port, name) in [(8081, "peer"), (8080, "web")] {
            #expect(try await fetchInside("192.0.2.1", port).output == "\(name)\n", "port \(port)")
        }
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

    /// What hypeman-init set up of the network, and what the agent counts.
    private func checkGuest(_ agent: PrivateAgent) async throws {
        func text(_ path: String) async throws -> String { try await agent.expect("exec", "web", "cat", path) }
        #expect(try await text("/sys/class/net/eth0/address") == "02:68:0a:64:00:02")
        #expect(try await text("/sys/class/net/eth0/mtu") == "1420", "the uplink's")
        #expect(try await text("/etc/hostname") == "web")
        #expect(try await text("/etc/hosts").hasSuffix("10.100.0.2\tweb.hypeman.internal web"))
        #expect(try await text("/etc/resolv.conf") == "search hypeman.internal\nnameserver 10.100.0.1")
        #expect(
            try await agent.expect("exec", "web", "getent", "hosts", "10.100.0.3").contains("peer.hypeman.internal")
        )
        for (name, floor) in [("web", 1000), ("peer", 1 << 20)] {
            let usage = try await agent.expect("stats", "--format", "json", name)
            for counter in ["network_rx_bytes", "network_tx_bytes"] {
                let count = usage.firstMatch(of: try Regex("\"\(counter)\" : (\\d+)")).flatMap {
                    Int($0[1].substring ?? "")
                }
                #expect(try #require(count) > floor, "\(usage)")
            }
        }
        let resources = try await agent.expect("resources", "--format", "json")
        for direction in ["download", "upload"] {
            #expect(resources.contains("\"network_\(direction)_bps\" : \(Self.limit * 125_000)"), "\(resources)")
        }
    }

    private func checkKeptThroughRestarts(_ agent: PrivateAgent, _ site: Site) async throws {
        await agent.stop(SIGKILL)
        #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "web", "without an agent")
        try await agent.start()
        #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "web", "after its restart")
        try await agent.expect("standby", "web")
        #expect(await !Site.isReachable("http://192.0.2.1:8080/", in: site.outside))
        #expect(try await !site.host.run("ip", "link").contains("hyptap0a640002"), "its device is gone")
        try await agent.expect("restore", "web")
        #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "web", "after standby")
        #expect(try await agent.expect("exec", "peer", "getent", "hosts", "web").contains("10.100.0.2"))
        try await agent.expect("stop", "web")
        #expect(await !Site.isReachable("http://192.0.2.1:8080/", in: site.outside))
        try await agent.expect("start", "web")
        try await site.serves("http://10.100.0.2/")
        #expect(try await Site.fetch("http://10.100.0.2/", in: site.host) == "web", "it has kept its address")
        #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "web")
    }

    /// The peer, which has limits, keeps them within 5 %, counted in whole frames.
    ///
    /// A machine that has no time for either side shows less, so that there are some attempts.
    private func checkLimits(_ agent: PrivateAgent, _ site: Site) async throws {
        let script = FilePath(#filePath).removingLastComponent().pushing("../../scripts/network_rate.py").string
        for (direction, port, device) in [("send", "9001", "hyptap0a640003"), ("receive", "9002", "hypifb0a640003")] {
            let lines = try await site.host.run(
                "python3",
                script,
                direction,
                "10.100.0.3",
                port,
                "10",
                device,
                "\(Self.limit)000000"
            )
            let percents = try lines.split(separator: "\n").map { line in
                let rates = try JSONDecoder().decode([String: Double].self, from: Data(line.utf8))
                return try #require(rates["frames"]) / Double(Self.limit) / 10_000
            }
            #expect(percents.contains { (95...105).contains($0) }, "\(direction): \(percents) % of the limit")
            #expect(percents.allSatisfy { $0 <= 105 }, "\(direction): \(percents) % of the limit")
        }
    }

    /// What a guest sends in another's name reaches nobody and changes nothing; from one with an upload limit, too.
    private func checkForgeries(_ agent: PrivateAgent, _ site: Site) async throws {
        func entries() async throws -> [String] {
            try await site.host.run("bridge", "fdb").split(separator: "\n").map(String.init)
                .filter { $0.contains("02:68:0a:64:00:0") }.sorted()
        }
        let before = try await entries()
        #expect(before.count >= 2)
        for (forger, number, victim) in [("web", 2, 3), ("peer", 3, 2)] {
            let ready = agent.scratch.appending("listening-\(forger)").string
            async let seen = site.host.run(
                "timeout",
                "300",
                "python3",
                "-c",
                Self.listener,
                ready,
                "vmbr0",
                "hyptap0a64000\(victim)"
            )
            while !FileManager.default.fileExists(atPath: ready) { try await Task.sleep(for: .milliseconds(20)) }
            try await agent.expect("exec", forger, "perl", "-e", Self.forger, "\(number)", "\(victim)")
            #expect(try await seen == "vmbr0 allowed-packet\n", "from \(forger)")
            #expect(try await entries() == before)
        }
        #expect(try await Site.fetch("http://10.100.0.3/", in: site.host) == "peer")
        #expect(try await Site.fetch("http://10.100.0.2/", in: site.host) == "web")
    }

    /// Listens on devices until the packet that is allowed arrives, and prints all that arrived of those that a forger
    /// sends.
    private static let listener = """
        import re, select, socket, sys
        sockets = {}
        for name in sys.argv[2:]:
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.bind((name, 0))
            sockets[s] = name
        open(sys.argv[1], "w").close()
        seen = set()
        while not any("allowed" in line for line in seen):
            for s in select.select(list(sockets), [], [])[0]:
                for tag in re.findall(rb"forged-[a-z]+|allowed-packet", s.recv(65536)):
                    seen.add(sockets[s] + " " + tag.decode())
        print("\\n".join(sorted(seen)))
        """

    /// Sends, as instance 10.100.0.$ARGV[0], in the name of 10.100.0.$ARGV[1]: with its MAC (also to the address of LLDP,
    /// which no bridge filters), with its IPv4 source, and as the sender of ARP; and a packet in its own name at the end.
    private static let forger = #"""
        my ($own, $victim) = @ARGV;
        sub mac { pack "C6", 2, 0x68, 10, 100, 0, $_[0] }
        sub ip { pack "C4", 10, 100, 0, $_[0] }
        sub udp {
            my ($source, $text) = @_;
            my $body = pack("nnnn", 40000, 9, 8 + length $text, 0) . $text;
            my $head = pack("CCnnnCCn", 0x45, 0, 20 + length $body, 1, 0, 64, 17, 0) . ip($source) . ip(1);
            my $sum = 0;
            $sum += $_ for unpack "n*", $head;
            $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
            substr($head, 10, 2) = pack "n", ~$sum & 0xffff;
            $head . $body;
        }
        sub arp { pack("nnCCn", 1, 0x800, 6, 4, 2) . mac($own) . ip($victim) . mac(1) . ip(1) . "forged-arp" }
        my $everybody = "\xff" x 6;
        my @frames = (
            mac(1) . mac($victim) . pack("n", 0x800) . udp($own, "forged-mac"),
            mac(1) . mac($own) . pack("n", 0x800) . udp($victim, "forged-source"),
            $everybody . mac($own) . pack("n", 0x806) . arp(),
            pack("H12", "0180c200000e") . mac($victim) . pack("n", 0x88cc) . "forged-lldp",
            mac(1) . mac($own) . pack("n", 0x800) . udp($own, "allowed-packet"),
        );
        open my $file, "<", "/sys/class/net/eth0/ifindex" or die "ifindex: $!";
        my $index = <$file>;
        # AF_PACKET, SOCK_RAW, and struct sockaddr_ll (packet(7)).
        socket my $socket, 17, 3, 0 or die "socket: $!";
        my $address = pack "SniSCCa8", 17, 0, $index, 0, 0, 6, $everybody;
        for my $frame (@frames) {
            $frame .= "\0" x (60 - length $frame) if length $frame < 60;
            for (1 .. 5) { defined send($socket, $frame, 0, $address) or die "send: $!" }
        }
        """#

    /// Beside ufw's rules, and with br_netfilter.
    @Test func anOrdinaryUserWithTwoCapabilitiesDoesAllOfIt() async throws {
        try await Site.with(rules: .ufw, isBridgeFiltered: true) { site async throws in
            let before = try await site.state()
            let user = ServiceUser.packaged
            let variables = ["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2"]
            try await PrivateAgent.with(variables, namespace: site.host.name, user: user) { agent async throws in
                let status = try String(contentsOfFile: "/proc/\(try #require(agent.pid))/status", encoding: .utf8)
                #expect(status.contains("Uid:\t\(user.number)\t\(user.number)\t\(user.number)\t\(user.number)\n"))
                for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                    #expect(status.contains("\(set):\t\(ServiceUser.packagedMask)\n"), "\(status)")
                }
                let tar = agent.scratch.appending("busybox.tar")
                try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
                try await agent.expect("import", tar.string, "busybox:1")
                let page = "echo page >/srv/index.html; exec busybox httpd -f -p 80 -h /srv"
                let options = ["-p", "8080:80", "--bandwidth-up", "50Mbps", "--bandwidth-down", "50Mbps"]
                try await agent.expect(
                    ["run", "-d", "--name", "web", "--memory", "256MB"] + options + ["busybox:1", "sh", "-c", page]
                )
                try await site.serves("http://10.100.0.2/")
                #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "page")
                #expect(
                    try await site.host.run("pgrep", "-c", "-u", "\(user.number)", "-f", agent.scratch.path.string)
                        != "0\n"
                )
                // Nothing of it needs root later either.
                await agent.stop(SIGKILL)
                try await agent.start()
                #expect(try await Site.fetch("http://192.0.2.1:8080/", in: site.outside) == "page")
                try await agent.expect("rm", "-f", "web")
                #expect(try await !site.host.run("ip", "link").contains("hyptap"))
                #expect(!agent.log.contains("permissionDenied") && !agent.log.contains("CAP_NET_ADMIN"))
            }
            #expect(try await site.state() == before)
        }
    }
}
