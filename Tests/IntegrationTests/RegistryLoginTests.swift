import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// Logins that Docker's config.json leaves to a program (docker-credential-helpers).
@Suite(.serialized) struct RegistryLoginTests {
    @Test func passwordsComeFromHelpersAndTheirFailuresAreSaid() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            try await DockerRegistry.with(scratch, isProtected: true) { registry async throws in
                try await registry.push(layout, as: "app:1", options: ["--dest-creds", "tester:secret"])
                let image = "\(registry.host)/app:1"
                let programs = scratch.appending("bin").string
                try FileManager.default.createDirectory(atPath: programs, withIntermediateDirectories: true)
                try Self.helper(
                    "knows",
                    "read server; [ \"$1 $server\" = 'get \(registry.host)' ] || exit 3\n"
                        + #"echo '{"ServerURL":"x","Username":"tester","Secret":"secret"}'"#,
                    in: programs
                )
                try Self.helper("empty", "echo 'credentials not found in native keychain'; exit 1", in: programs)
                try Self.helper("locked", "echo 'the keychain is locked'; exit 1", in: programs)
                try Self.helper("garbage", "echo 'not JSON'", in: programs)
                let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
                try await PrivateAgent.with([
                    "INSECURE_REGISTRIES": registry.host, "DOCKER_CONFIG": scratch.path.string,
                    "PATH": "\(programs):\(path)",
                ]) { agent async throws in
                    func configure(_ json: String) throws {
                        _ = try scratch.write(Array(json.utf8), to: "config.json")
                    }
                    for (helper, words) in [
                        ("empty", "docker login"), ("locked", "the keychain is locked"),
                        ("garbage", "docker-credential-garbage"), ("missing", "docker-credential-missing"),
                        ("../bin/knows", "not the name of a credential helper"),
                    ] {
                        try configure(#"{"credsStore":"\#(helper)"}"#)
                        let said = try await agent.refusal("pull", image)
                        #expect(said.contains(words), "\(helper): \(said)")
                        #expect(!said.contains("secret"))
                    }
                    try configure(#"{"credsStore":"locked","credHelpers":{"\#(registry.host)":"knows"}}"#)
                    try await agent.expect("pull", image)
                    try await agent.expect("rmi", image)
                    try configure(#"{"credsStore":"knows"}"#)
                    try await agent.expect("pull", image)
                    #expect(!agent.log.contains("tester"))
                }
            }
        }
    }

    private static func helper(_ name: String, _ script: String, in directory: String) throws {
        let path = "\(directory)/docker-credential-\(name)"
        try "#!/bin/sh\n\(script)\n".write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }
}
