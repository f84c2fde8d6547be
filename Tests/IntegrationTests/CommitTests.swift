import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// `hypeman commit` with a real VM.
@Suite(.serialized) struct CommitTests {
    @Test func whatAnInstanceHasBecomeIsAnImageThatRuns() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            try await PrivateAgent.with { agent async throws in
                try await agent.expect("import", layout.string, "app:1")
                try await agent.expect("volume", "create", "--size", "1GB", "data")
                try await agent.expect(
                    "run",
                    "-d",
                    "--name",
                    "app",
                    "--memory",
                    "128MB",
                    "-v",
                    "data:/data",
                    "app:1"
                )
                let changes = """
                    rm -r /srv/old; echo changed >/srv/new; chown 1000:2000 /srv/new; chmod 4711 /srv/new; mkfifo /srv/fifo
                    echo secret >/data/secret; echo gone >/run/gone
                    busybox truncate -s 200M /srv/sparse; ln /srv/new /srv/hard
                    """
                try await agent.expect("exec", "-u", "root", "app", "sh", "-c", changes)
                let committed = try await agent.expect("commit", "app", "app:2")
                #expect(committed.hasPrefix("docker.io/library/app:2@sha256:"), "\(committed)")
                #expect(try await agent.expect("inspect", "app").contains(#""state" : "Running""#))

                // The configuration is the image's: it runs the same program.
                try await agent.expect("run", "-d", "--name", "next", "--memory", "128MB", "app:2")
                func next(_ command: String) async throws -> String {
                    try await agent.expect("exec", "-u", "root", "next", "sh", "-c", command)
                }
                #expect(try await next("stat -c '%a %u:%g %h %s' /srv/new") == "4711 1000:2000 2 8")
                #expect(try await next("cat /srv/new; ls /srv; ls /data /run").contains("changed"))
                let names = try await next("ls -A /srv")
                #expect(names.split(separator: "\n") == ["fifo", "hard", "new", "owned", "sparse"], "\(names)")
                #expect(try await next("ls -A /data /run | grep -c 'secret\\|gone' || true") == "0")
                #expect(try await next("stat -c %s /srv/sparse") == "\(200 << 20)")
                #expect(try await next("cat /etc/hosts").contains("next"))
                #expect(try await next("cat /etc/hosts /etc/hostname | grep -c app || true") == "0")
                #expect(try await agent.expect("exec", "next", "stat", "-c", "%a", "/bin/setuid") == "4755")
                #expect(
                    try await agent.refusal("commit", "app", "app@sha256:\(String(repeating: "a", count: 64))")
                        .contains("digest")
                )
                #expect(try await agent.refusal("commit", "app", "Not This").contains("Not This"))
                #expect(try await agent.refusal("commit", "none", "app:3").contains("none"))
                try await agent.expect("stop", "app")
                #expect(try await agent.refusal("commit", "app", "app:3").contains("Running"))
                #expect(!(try await agent.expect("images", "-q")).contains("app:3"))
                #expect(try agent.leftFiles().filter { $0.contains("incoming") } == [])

                // It can be taken elsewhere as others can.
                let saved = scratch.appending("saved.tar")
                try await agent.expect("save", "-o", saved.string, "app:2")
                let said = try await tool("skopeo", ["inspect", "--config", "oci-archive:\(saved)"])
                #expect(said.contains("hypeman"), "\(said)")
            }
        }
    }
}
