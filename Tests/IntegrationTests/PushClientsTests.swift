import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Pushes with the clients that people have.
@Suite(.serialized) struct PushClientsTests {
    @Test func whatPodmanPushesRuns() async throws {
        try await Self.withRegistry { site async throws in
            let podman = PodmanEngine(scratch: site.agent.scratch, namespace: site.namespace)
            let (plain, file) = ("--tls-verify=false", "--authfile=\(site.agent.scratch.appending("auth.json"))")
            try await podman.run("load", "--quiet", "--input", try await site.archive(as: "pushed:1").string)
            let image = try await podman.run("images", "--quiet").trimmingCharacters(in: .newlines)
            func push(_ name: String, _ format: String, login: String? = nil) async throws {
                let target = "docker://\(site.host)/\(name)"
                try await podman.run("push", "--quiet", plain, login ?? file, "--format", format, image, target)
            }
            await #expect(throws: ToolFailure.self) {
                try await push("team/podman:1", "oci", login: "--creds=any:wrong")
            }
            await #expect(throws: ToolFailure.self) {
                try await podman.run("login", plain, file, "--username=any", "--password=wrong", site.host)
            }
            try await podman.run("login", plain, file, "--username=any", "--password=\(site.token)", site.host)
            try await push("team/podman:1", "oci")
            try await site.check("team/podman:1")
            try await push("team/podman:2", "v2s2")
            try await site.check("team/podman:2")
        }
    }

    @Test func whatDockerPushesRuns() async throws {
        try await Self.withRegistry { site async throws in
            try await DockerEngine.with(site.agent.scratch, in: site.namespace) { docker async throws in
                let name = "\(site.host)/team/docker:1"
                try await docker.run("load", "--input", try await site.archive(as: name).string)
                await #expect(throws: ToolFailure.self) { try await docker.run("push", name) }
                await #expect(throws: ToolFailure.self) {
                    try await docker.run("login", "--username=any", "--password=wrong", site.host)
                }
                try await docker.run("login", "--username=any", "--password=\(site.token)", site.host)
                try await docker.run("push", name)
                try await site.check("team/docker:1")
                // What is here is not sent again, to whichever repository.
                for other in ["team/docker:2", "other/docker:1"] {
                    try await docker.run("tag", name, "\(site.host)/\(other)")
                    let said = try await docker.run("push", "\(site.host)/\(other)")
                    #expect(!said.contains("Pushed"), "\(said)")
                    #expect(said.contains("already exists") || said.contains("Mounted from"), "\(said)")
                    try await site.check(other)
                }
            }
        }
    }

    /// An agent to push to, and an image of three layers with what is lost easily.
    private struct Site {
        let agent: PrivateAgent
        let namespace: TestNamespace
        let host: String
        let token: String
        let layout: FilePath

        /// The image as a file that engines load.
        func archive(as name: String) async throws -> FilePath {
            let path = agent.scratch.appending("engine.tar")
            let target = "docker-archive:\(path):\(name)"
            try await tool("skopeo", ["copy", "--insecure-policy", "oci:\(layout):image", target])
            return path
        }

        /// The image is there, and is what was pushed.
        func check(_ name: String) async throws {
            try await agent.waitUntilReady(name)
            try await agent.expect("run", "-d", "--name", "pushed", "--memory", "128MB", name)
            try await agent.inspect("pushed") { $0.contains("\"state\" : \"Running\"") }
            #expect(try await agent.expect("exec", "pushed", "id", "-u") == "1234", "its user")
            #expect(
                try await agent.expect("exec", "pushed", "stat", "-c", "%a %u:%g", "/srv/owned", "/bin/setuid")
                    == "640 1234:2345\n4755 0:0"
            )
            #expect(
                try await agent.expect("exec", "pushed", "ls", "/srv", "/srv/old") == "/srv:\nold\nowned\n\n/srv/old:"
            )
            try await agent.expect("rm", "-f", "pushed")
        }
    }

    private static func withRegistry(_ body: (Site) async throws -> Void) async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            try await TestNamespace.with { namespace async throws in
                // Nobody else is in the namespace.
                let variables = [
                    "PORT": "8080", "BIND_ADDRESS": "127.0.0.1",
                    "JWT_SECRET": "a secret of more than thirty-two bytes, for tests",
                ]
                try await PrivateAgent.with(variables, namespace: namespace.name) { agent async throws in
                    let token = try await agent.agentTool("gen-jwt", "--permissions", "image:write")
                        .trimmingCharacters(in: .whitespacesAndNewlines)
                    try await body(
                        Site(agent: agent, namespace: namespace, host: "127.0.0.1:8080", token: token, layout: layout)
                    )
                }
            }
        }
    }
}
