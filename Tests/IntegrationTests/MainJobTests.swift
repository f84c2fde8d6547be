import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// The main job on real parts: Debian's registry, real layers, a real kernel in QEMU, the real programs.
@Suite(.serialized) struct MainJobTests {
    @Test func anImageFromARegistryRunsAsItsLayersSay() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            try await DockerRegistry.with(scratch) { registry async throws in
                try await registry.push(layout, as: "team/app:1")
                let image = "\(registry.host)/team/app:1"
                try await PrivateAgent.with(["INSECURE_REGISTRIES": registry.host]) { agent async throws in
                    try await agent.expect("pull", image)
                    try await agent.expect(
                        "run",
                        "-d",
                        "--name",
                        "app",
                        "--memory",
                        "128MB",
                        "-e",
                        "FROM_RUN=too",
                        image
                    )
                    func inside(_ command: String...) async throws -> String {
                        let outcome = try await agent.hypeman(["exec", "app"] + command)
                        #expect(outcome.code == 0, "\(command): \(outcome)")
                        return outcome.output.trimmingCharacters(in: .newlines)
                    }
                    #expect(try await inside("stat", "-c", "%u:%g %a", "/srv/owned") == "1234:2345 640")
                    #expect(try await inside("stat", "-c", "%a", "/bin/setuid") == "4755")
                    let effectiveUser = try await inside("/bin/setuid", "/proc/self/status").split(separator: "\n")
                        .first { $0.hasPrefix("Uid:") }?.split(separator: "\t")
                    #expect(effectiveUser?.dropFirst().prefix(2) == ["1234", "0"], "the kernel honours the bit")
                    #expect(try await inside("id", "-u") == "1234")
                    #expect(try await inside("id", "-G") == "2345 3456")
                    #expect(try await inside("pwd") == "/srv")
                    #expect(try await inside("sh", "-c", "echo $FROM_IMAGE $FROM_RUN") == "yes too")
                    #expect(try await inside("ls", "/srv") == "old\nowned")
                    #expect(try await inside("ls", "/srv/old") == "")
                    // The kernel grants what the file's capability says: bit 13 of the effective set (capabilities(7)).
                    let status = try await inside("/bin/capable", "/proc/self/status")
                    let effective = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
                    #expect(effective?.hasSuffix("0000000000002000") == true)
                    #expect(try await inside("cat", "/proc/1/comm") == "init")
                    #expect(try await agent.expect("logs", "app") == "started")
                    try await checkCommands(agent)
                    try await agent.expect("stop", "app")
                    try await agent.expect("rm", "app")
                    try await agent.expect("rmi", image)
                    #expect(try agent.leftFiles() == [])
                }
            }
        }
    }

    @Test func namesOfOneDigestShareTheRootDiskUntilTheLastGoes() async throws {
        try await Scratch.with { scratch in
            let layout = try await TestImages.layered(in: scratch)
            try await DockerRegistry.with(scratch) { registry async throws in
                try await registry.push(layout, as: "one:1")
                try await registry.push(layout, as: "two:1")
                let (one, two) = ("\(registry.host)/one:1", "\(registry.host)/two:1")
                try await PrivateAgent.with(["INSECURE_REGISTRIES": registry.host]) { agent async throws in
                    try await agent.expect("pull", one)
                    let files = try agent.leftFiles()
                    try await agent.expect("pull", two)
                    try await agent.expect("import", layout.string, "three:1")
                    let shared = try agent.leftFiles()
                    #expect(Set(shared) == Set(files), "one root disk for all: \(shared), not \(files)")
                    try await agent.expect("rmi", one)
                    try await agent.expect("run", "-d", "--name", "two", "--memory", "128MB", two)
                    try await agent.expect("rmi", two)
                    #expect(try await agent.expect("exec", "two", "ls", "/srv") == "old\nowned")
                    try await agent.expect("run", "-d", "--name", "three", "--memory", "128MB", "three:1")
                    #expect(try await agent.refusal("rmi", "three:1").contains("is used by instance"))
                    #expect(try await agent.expect("exec", "three", "ls", "/srv") == "old\nowned")
                    try await agent.expect("rm", "-f", "two", "three")
                    try await agent.expect("rmi", "three:1")
                    #expect(try agent.leftFiles() == [])
                }
            }
        }
    }

    /// Exit codes, separate outputs, large streams, and what is killed with its caller.
    private func checkCommands(_ agent: PrivateAgent) async throws {
        try await agent.expect("exec", "app", "sh", "-c", "exit 42", code: 42)
        let apart = try await agent.hypeman("exec", "app", "sh", "-c", "echo out; echo err >&2")
        #expect(apart.output == "out\n" && apart.errors == "err\n")
        let missing = try await agent.hypeman("exec", "app", "/no/such/program")
        #expect(missing.code == 127 && missing.errors.contains("/no/such/program"))
        #expect(
            try await agent.expect(
                "exec",
                "-u",
                "root",
                "-w",
                "/tmp",
                "-e",
                "X=1",
                "app",
                "sh",
                "-c",
                "id -u; pwd; echo $X"
            ) == "0\n/tmp\n1"
        )

        var generator = SystemRandomNumberGenerator()
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        for index in bytes.indices { bytes[index] = UInt8.random(in: 0...255, using: &generator) }
        let block = String(decoding: bytes.map { $0 & 0x7f }, as: UTF8.self)
        let text = String(repeating: block, count: 64)
        let echoed = try await agent.hypeman("exec", "-i", "app", "cat", input: Array(text.utf8))
        #expect(echoed.code == 0)
        #expect(echoed.output.utf8.count == 64 << 20)
        #expect(echoed.output == text, "64 MiB through stdin and stdout are unchanged")

        // A grandchild whose parent has gone belongs to init, which must reap it: no zombie stays.
        try await agent.expect("exec", "app", "sh", "-c", "sh -c 'sleep 0.2 & exit' ; sleep 1")
        let processes = try await agent.expect("exec", "app", "sh", "-c", "cat /proc/[0-9]*/stat")
        #expect(!processes.split(separator: "\n").contains { $0.contains(") Z ") }, "\(processes)")
    }

    @Test func anAttachedRunEndsWithTheProgramsCode() async throws {
        try await withBusybox { agent async throws in
            let outcome = try await agent.hypeman(
                "run",
                "--rm",
                "--name",
                "job",
                "--memory",
                "128MB",
                "busybox:1",
                "sh",
                "-c",
                "echo one; echo two >&2; exit 3"
            )
            #expect(outcome.code == 3 && outcome.output == "one\n" && outcome.errors.contains("two\n"))
            #expect(try await agent.expect("ps", "-a", "-q") == "")
        }
    }

    @Test func aProgramThatIsNotInTheImageIs127WithTheReason() async throws {
        try await withBusybox { agent async throws in
            let outcome = try await agent.hypeman("run", "--name", "job", "--memory", "128MB", "busybox:1", "/no/such")
            #expect(outcome.code == 127)
            #expect(outcome.errors.contains("/no/such"))
            let inspected = try await agent.expect("inspect", "job")
            #expect(inspected.contains("\"exit_code\" : 127"))
        }
    }

    @Test func whatIsWrittenSurvivesAStopAndAStart() async throws {
        try await withBusybox { agent async throws in
            try await agent.expect("run", "-d", "--name", "box", "--memory", "128MB", "busybox:1", "sleep", "1000")
            try await agent.expect("exec", "box", "sh", "-c", "echo kept > /home/file")
            try await agent.expect("stop", "box")
            try await agent.expect("start", "box")
            #expect(try await agent.expect("exec", "box", "cat", "/home/file") == "kept")
        }
    }

    @Test func logsAreBoundedWhileAProgramWritesWithoutEnd() async throws {
        try await withBusybox(["LOG_MAX_SIZE": "1MB", "LOG_MAX_FILES": "1"]) { agent async throws in
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "noisy",
                "--memory",
                "128MB",
                "busybox:1",
                "yes",
                "a line of some length to log"
            )
            try await agent.expect("exec", "noisy", "sleep", "3")
            let size = try agent.size { $0.contains("/logs/app") }
            #expect(size > 1 << 19 && size < 3 << 20, "\(size) bytes")
            // The last line may be half written; the one before it is whole.
            let lines = try await agent.expect("logs", "-n", "2", "noisy").split(separator: "\n")
            #expect(lines.count == 2 && lines.first == "a line of some length to log")
            try await agent.expect("rm", "-f", "noisy")
        }
    }

    @Test func stateAndDisksAreForTheAgentAlone() async throws {
        try await withBusybox { agent in
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "box",
                "--memory",
                "128MB",
                "-e",
                "SECRET=x",
                "busybox:1",
                "sleep",
                "9"
            )
            for path in try FileManager.default.subpathsOfDirectory(atPath: agent.data.string) {
                let file = agent.data.pushing(FilePath(path)).string
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                #expect((mode ?? 0o777) & 0o077 == 0, "\(path)")
            }
        }
    }

    // MARK: The agent's restarts

    @Test func aVMOutlivesTheAgentHoweverItEnds() async throws {
        try await withBusybox { agent async throws in
            try await agent.expect(
                "run",
                "-d",
                "--name",
                "box",
                "--memory",
                "128MB",
                "busybox:1",
                "sh",
                "-c",
                "n=0; while sleep 0.2; do n=$((n+1)); echo $n; done"
            )
            let boot = try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id")
            for signal in [SIGKILL, SIGTERM] {
                await agent.stop(signal)
                try await Task.sleep(for: .milliseconds(700))
                try await agent.start()
                #expect(try await agent.expect("exec", "box", "cat", "/proc/sys/kernel/random/boot_id") == boot)
            }
            try await agent.expect("stop", "box")
            let numbers = try await agent.expect("logs", "box").split(separator: "\n").compactMap { Int($0) }
            #expect(numbers.count > 5)
            #expect(numbers == Array(1...numbers.count), "no line is lost or doubled")
        }
    }

    @Test func aVMMThatIsKilledLeavesAStoppedInstance() async throws {
        try await withBusybox { agent async throws in
            let id = try await agent.expect(
                "run",
                "-d",
                "--name",
                "box",
                "--memory",
                "128MB",
                "busybox:1",
                "sleep",
                "1000"
            )
            try await tool("pkill", ["-KILL", "-f", "hypeman-\(id)"])
            try await agent.expect("wait", "box", code: 0)
            #expect(try await agent.expect("inspect", "box").contains("machineDied"))
            try await agent.expect("start", "box")
            #expect(try await agent.expect("exec", "box", "echo", "again") == "again")
        }
    }

    /// An agent with an imported busybox, `busybox:1`.
    private func withBusybox(_ variables: [String: String] = [:], _ body: (PrivateAgent) async throws -> Void)
        async throws
    {
        try await PrivateAgent.with(variables) { agent async throws in
            let tar = agent.scratch.appending("busybox.tar")
            try await TestImages.tar(try await TestImages.busyboxTree(in: agent.scratch), to: tar)
            try await agent.expect("import", tar.string, "busybox:1")
            try await body(agent)
        }
    }
}
