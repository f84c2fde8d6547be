import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Forks of real VMs, on the bridge: each goes on where the other was, and is another one.
@Suite(.serialized) struct ForkTests {
    /// Has an id of its own, counts in its memory alone, and serves its name: a page that is written beside and
    /// renamed, as a server reads the length of a file before it reads the file.
    private static let program = """
        echo \(machineID) >/etc/machine-id; busybox httpd -p 80 -h /srv; n=0
        while sleep 0.1; do
            n=$((n+1)); echo $n
            cat /proc/sys/kernel/hostname >/srv/next; busybox mv /srv/next /srv/index.html
        done
        """
    private static let machineID = "0123456789abcdef0123456789abcdef"

    /// What tells one guest from another.
    private static let traits = [
        "machine id": "cat /etc/machine-id", "host name": "cat /proc/sys/kernel/hostname", "hosts": "cat /etc/hosts",
        "uuid": "cat /proc/sys/kernel/random/uuid", "random": "busybox head -c 16 /dev/urandom | busybox md5sum",
        "MAC": "cat /sys/class/net/eth0/address", "address": "busybox ip -4 address show dev eth0",
    ]

    @Test func twoForksOfOneMemoryAreTwoGuests() async throws {
        try await NetworkSite.with { site async throws in
            let before = try await site.state()
            try await PrivateAgent.with(["NETWORK": "bridge", "DNS_SERVER": "192.0.2.2"], namespace: site.host.name) {
                agent async throws in
                let tar = agent.scratch.appending("busybox.tar")
                try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
                try await agent.expect("import", tar.string, "busybox:1")
                try await agent.expect(
                    "run",
                    "-d",
                    "--name",
                    "box",
                    "--memory",
                    "128MB",
                    "-p",
                    "8080:80",
                    "busybox:1",
                    "sh",
                    "-c",
                    Self.program
                )
                try await site.serves("http://10.100.0.2/")
                let boot = try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id")
                #expect(try await agent.refusal("fork", "box", "one").contains("from_running"))
                try await agent.expect("standby", "box")
                let saved = try await Self.last(agent, "box")
                let source = try await agent.expect("inspect", "box")

                try await agent.expect("fork", "--target", "Running", "box", "one")
                try await agent.expect("fork", "box", "two")
                #expect(try await agent.expect("inspect", "two").contains(#""state" : "Standby""#))
                try await agent.expect("restore", "two")
                #expect(try await agent.expect("inspect", "box") == source, "the source is untouched")
                try await agent.expect("restore", "box")

                var found: [String: [String]] = [:]
                for name in ["box", "one", "two"] {
                    #expect(try await agent.expect("exec", name, "cat", "/proc/sys/kernel/random/boot_id") == boot)
                    for (trait, command) in Self.traits {
                        let value = try await agent.expect("exec", name, "sh", "-c", command)
                        found[trait, default: []].append(value)
                    }
                }
                for (trait, values) in found { #expect(Set(values).count == 3, "\(trait): \(values)") }
                #expect(found["machine id"]?.first == Self.machineID)
                #expect(found["host name"] == ["box", "one", "two"])
                // The fork that was refused had the address between.
                for (name, address) in [("box", "10.100.0.2"), ("one", "10.100.0.4"), ("two", "10.100.0.5")] {
                    try await Self.serves(site, "http://\(address)/", name)
                    #expect(try await agent.expect("exec", name, "cat", "/etc/hosts").contains("\(address)\t\(name)."))
                    try await agent.expect("exec", name, "busybox", "ping", "-c", "1", "-W", "5", "10.100.0.1")
                    #expect(try await Self.last(agent, name) > saved, "\(name) goes on counting")
                }
                try await Self.serves(site, "http://192.0.2.1:8080/", "box", from: site.outside)

                // One that runs is forked, and a fork's memory is its own.
                let counted = try await Self.last(agent, "one")
                try await agent.expect("fork", "--from-running", "one", "three")
                try await Self.serves(site, "http://10.100.0.6/", "three")
                try await Self.serves(site, "http://10.100.0.4/", "one")
                #expect(try await Self.last(agent, "three") >= counted)
                try await agent.expect("standby", "three")
                await agent.stop(SIGKILL)
                try await agent.start()
                try await agent.expect("restore", "three")
                try await Self.serves(site, "http://10.100.0.6/", "three")

                // Without memory: the disk of one that is stopped.
                try await agent.expect("exec", "two", "sh", "-c", "echo kept >/home/file; busybox sync")
                try await agent.expect("stop", "two")
                try await agent.expect("fork", "--target", "Running", "two", "four")
                #expect(try await agent.expect("exec", "--wait-for-agent", "1m", "four", "cat", "/home/file") == "kept")
                try await agent.expect("rm", "-f", "box", "one", "two", "three", "four")
                #expect(try agent.leftFiles().filter { $0.hasPrefix("snapshots/") || $0.hasPrefix("instances/") } == [])
                #expect(try await !site.host.run("ip", "link").contains("hyptap"))
            }
            #expect(try await site.state() == before)
        }
    }

    private static func last(_ agent: PrivateAgent, _ name: String) async throws -> Int {
        try #require(Int(try await agent.expect("logs", "-n", "1", name)))
    }

    /// The guest writes its page ten times a second.
    private static func serves(
        _ site: NetworkSite,
        _ url: String,
        _ name: String,
        from namespace: TestNamespace? = nil
    ) async throws {
        try await site.serves(url)
        let deadline = ContinuousClock.now + .seconds(30)
        while try await NetworkSite.fetch(url, in: namespace ?? site.host) != name {
            guard ContinuousClock.now < deadline else { throw ToolFailure(description: "\(url) does not say \(name)") }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
