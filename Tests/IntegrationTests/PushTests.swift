import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Pushes with a real client.
@Suite(.serialized) struct PushTests {
    @Test func whatSkopeoPushesRunsAndIsStillThereAfterARestart() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            let port = try DockerRegistry.freePort()
            let variables = [
                "PORT": "\(port)", "BIND_ADDRESS": "127.0.0.1",
                "JWT_SECRET": "a secret of more than thirty-two bytes, for tests",
            ]
            try await PrivateAgent.with(variables) { agent async throws in
                func token(_ permissions: String) async throws -> String {
                    try await agent.agentTool("gen-jwt", "--permissions", permissions)
                        .trimmingCharacters(in: .whitespacesAndNewlines)
                }
                let host = "127.0.0.1:\(port)"
                func copy(_ source: String, _ target: String, _ options: [String]) async throws {
                    try await tool(
                        "skopeo",
                        ["copy", "--insecure-policy", "--dest-tls-verify=false", "--src-tls-verify=false"] + options
                            + [source, target]
                    )
                }
                let login = ["--dest-creds", "any:\(try await token("image:write"))"]
                for wrong in [
                    [], ["--dest-creds", "any:wrong"], ["--dest-creds", "any:\(try await token("image:read"))"],
                ] {
                    await #expect(throws: ToolFailure.self) {
                        try await copy("oci:\(layout):image", "docker://\(host)/team/app:1", wrong)
                    }
                }
                // Chunked layers under OCI's media types; then as Docker's, to a second repository; then all platforms.
                try await copy("oci:\(layout):image", "docker://\(host)/team/app:1", login)
                try await copy("oci:\(layout):image", "docker://\(host)/docker:1", login + ["--format", "v2s2"])
                try await copy("oci:\(layout):image", "docker://\(host)/team/app:all", login + ["--all"])
                for name in ["team/app:1", "library/docker:1", "team/app:all"] {
                    try await Self.waitUntilReady(name, agent)
                }
                try await agent.expect("run", "-d", "--name", "pushed", "team/app:1")
                try await agent.inspect("pushed") { $0.contains("Running") }
                #expect(try await agent.expect("exec", "pushed", "cat", "/srv/owned") == "owned")
                try await agent.expect("rm", "-f", "pushed")

                await agent.stop(SIGKILL)
                try await agent.start()
                let reader = try await token("image:read")
                func inspect(_ name: String) async throws -> String {
                    try await tool(
                        "skopeo",
                        [
                            "inspect", "--raw", "--tls-verify=false", "--creds", "any:\(reader)",
                            "docker://\(host)/\(name)",
                        ]
                    )
                }
                let raw = try await inspect("team/app:1")
                #expect(raw.contains("application/vnd.oci.image.config.v1+json"), "\(raw)")
                #expect(try await inspect("docker:1").contains("application/vnd.docker.distribution.manifest.v2+json"))
                let tags = try await tool(
                    "skopeo",
                    ["list-tags", "--tls-verify=false", "--creds", "any:\(reader)", "docker://\(host)/team/app"]
                )
                #expect(tags.contains("\"1\"") && tags.contains("\"all\""))
                // Again: what is here is found, what was converted comes once more.
                try await copy("oci:\(layout):image", "docker://\(host)/team/app:2", login)
                try await Self.waitUntilReady("team/app:2", agent)
                let deleter = try await token("image:*")
                try await tool(
                    "skopeo",
                    ["delete", "--tls-verify=false", "--creds", "any:\(deleter)", "docker://\(host)/docker:1"]
                )
                #expect(try await agent.refusal("rmi", "docker:1").contains("docker"))
            }
        }
    }

    private static func waitUntilReady(_ name: String, _ agent: PrivateAgent) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        var said = ""
        while ContinuousClock.now < deadline {
            said = try await agent.expect("images")
            let line = said.split(separator: "\n").first { $0.hasPrefix("docker.io/\(name) ") }
            if line?.contains(" ready ") == true { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw ToolFailure(description: "\(name) is not ready: \(said)")
    }
}
