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
                    try await agent.waitUntilReady(name)
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
                try await agent.waitUntilReady("team/app:2")
                let deleter = try await token("image:*")
                try await tool(
                    "skopeo",
                    ["delete", "--tls-verify=false", "--creds", "any:\(deleter)", "docker://\(host)/docker:1"]
                )
                #expect(try await agent.refusal("rmi", "docker:1").contains("docker"))
            }
        }
    }

    @Test func pushesGoOverTLSAndEndAtTheQuota() async throws {
        try await Scratch.with { scratch in
            let authority = try await CertificateAuthority(in: scratch)
            let server = try await authority.issue("server")
            let trust = scratch.appending("trust")
            try FileManager.default.createDirectory(atPath: trust.string, withIntermediateDirectories: true)
            try await tool("cp", [authority.certificate.string, trust.appending("ca.crt").string])
            let small = try await TestImages.layered(in: scratch)
            let noise = scratch.appending("noise")
            try FileManager.default.createDirectory(atPath: noise.string, withIntermediateDirectories: true)
            try await tool("dd", ["if=/dev/urandom", "of=\(noise)/noise", "bs=1M", "count=24", "status=none"])
            let tar = scratch.appending("noise.tar")
            try await TestImages.tar(noise, to: tar)
            let large = try await Layout.make(
                [Array(try Data(contentsOf: URL(filePath: tar.string)))],
                in: scratch,
                name: "large"
            )

            let port = try DockerRegistry.freePort()
            let variables = [
                "PORT": "\(port)", "BIND_ADDRESS": "127.0.0.1", "MAX_IMAGE_STORAGE": "16MB",
                "JWT_SECRET": "a secret of more than thirty-two bytes, for tests",
                "TLS_CERT": server.certificate.string, "TLS_KEY": server.key.string,
            ]
            try await PrivateAgent.with(variables) { agent async throws in
                let token = try await agent.agentTool("gen-jwt", "--permissions", "image:write")
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                func push(_ layout: FilePath, as name: String, _ options: [String]) async throws {
                    try await tool(
                        "skopeo",
                        ["copy", "--insecure-policy", "--dest-creds", "any:\(token)"] + options + [
                            "oci:\(layout):image", "docker://127.0.0.1:\(port)/\(name)",
                        ]
                    )
                }
                let trusted = ["--dest-cert-dir", trust.string]
                let untrusted = await #expect(throws: ToolFailure.self) {
                    try await push(small, as: "small:1", [])
                }
                #expect(untrusted?.description.contains("certificate") == true, "\(String(describing: untrusted))")
                let refused = await #expect(throws: ToolFailure.self) {
                    try await push(large, as: "large:1", trusted)
                }
                // skopeo shows the status of a chunk that is refused, and not the reason that comes with it.
                #expect(refused?.description.contains("507") == true, "\(String(describing: refused))")
                #expect(try await agent.expect("images", "-q") == "")
                // What was refused takes no room from what fits.
                try await push(small, as: "small:1", trusted)
                try await agent.waitUntilReady("library/small:1")
            }
        }
    }
}
