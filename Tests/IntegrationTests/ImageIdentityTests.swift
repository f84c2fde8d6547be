import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Images of real packages, from a registry to a root disk by an agent without any privilege.
struct ImageIdentityTests {
    @Test func disksOfDebianPackagesAreWhatUmociUnpacksAndBoot() async throws {
        try await Scratch.with { scratch in
            let layout = try await DebianImages.make(in: scratch)
            try await DockerRegistry.with(scratch) { registry async throws in
                let variables = ["INSECURE_REGISTRIES": registry.host]
                try await PrivateAgent.with(variables, user: .plain) { agent async throws in
                    for name in ["web", "database"] {
                        try await Self.compare(name, of: layout, registry: registry, agent: agent, in: scratch)
                    }
                    try await Self.serves(agent, "\(registry.host)/web:1")
                    try await Self.answers(agent, "\(registry.host)/database:1")
                }
            }
        }
    }

    /// nginx serves the page of its package.
    private static func serves(_ agent: PrivateAgent, _ image: String) async throws {
        try await agent.expect(
            ["run", "-d", "--name", "web", "--memory", "512MB", image, "nginx", "-g", "daemon off;"]
        )
        let fetch = "until busybox wget -q -O - http://127.0.0.1/; do sleep 0.2; done"
        #expect(try await agent.expect("exec", "web", "timeout", "60", "sh", "-c", fetch).contains("Welcome to nginx!"))
        #expect(try await agent.expect("exec", "web", "python3", "-c", "print(6 * 7)") == "42")
        try await agent.expect("rm", "-f", "web")
    }

    /// PostgreSQL runs as its own user on the cluster that its package made, and will not if anything there is not its own.
    private static func answers(_ agent: PrivateAgent, _ image: String) async throws {
        try await agent.expect(["run", "-d", "--name", "app", "--memory", "512MB", image, "sleep", "1000"])
        try await agent.expect("exec", "app", "pg_ctlcluster", "15", "main", "start")
        let query = "psql -tAc \"select current_user, 6 * 7\""
        #expect(try await agent.expect("exec", "app", "su", "-", "postgres", "-c", query) == "postgres|42")
        #expect(try await agent.expect("exec", "app", "busybox", "echo", "busy") == "busy")
        // What the last layer took away.
        #expect(try await agent.hypeman("exec", "app", "nginx", "-v").code == 127)
        try await agent.expect("rm", "-f", "app")
    }

    private static func compare(
        _ name: String,
        of layout: FilePath,
        registry: DockerRegistry,
        agent: PrivateAgent,
        in scratch: Scratch
    ) async throws {
        try await registry.push(layout, as: "\(name):1", image: name)
        let directory = agent.data.appending("disks")
        func disks() throws -> Set<String> {
            Set(try FileManager.default.contentsOfDirectory(atPath: directory.string))
        }
        let before = try disks()
        try await agent.expect("pull", "\(registry.host)/\(name):1")
        let new = try disks().subtracting(before)
        #expect(new.count == 1)
        let disk = directory.appending(try #require(new.first))
        #expect(try await tool("stat", ["-c", "%u", disk.string]) == "\(ServiceUser.plain.number)\n")
        try await tool("fsck.erofs", [disk.string])

        let bundle = scratch.appending("unpacked-\(name)")
        try await tool("umoci", ["unpack", "--image", "\(layout):\(name)", bundle.string])
        let expected = try TreeSnapshot(of: bundle.appending("rootfs"))
        let actual = try await withMounted(disk, in: scratch) { try TreeSnapshot(of: $0) }
        try FileManager.default.removeItem(atPath: bundle.string)
        let differences = actual.differences(from: expected)
        #expect(differences.isEmpty, "\(name): \(differences.prefix(20).joined(separator: "\n"))")
        // Nothing of it is vacuous: the packages are there, and what makes owners, rights and kinds of files.
        #expect(actual.lines.count > 5_000)
        #expect(actual.lines["/usr/bin/capable"]?.contains("links 2") == true)
        #expect(actual.lines["/usr/bin/capable"]?.contains("security.capability=") == true)
        #expect(actual.lines["/dev/odd"]?.hasPrefix("60640 0:0") == true)
        #expect((actual.lines["/usr/sbin/nginx"] == nil) == (name == "database"))
    }
}
