import AgentCore
import AgentTestSupport
import Foundation
import SystemPackage
import Testing

@testable import HypervisorPlugin

/// Real processes.
struct ChildProcessSupervisorTests {
    private static func specification(
        _ script: String,
        _ scratch: Scratch,
        mark: String = "mark-\(UUID())"
    ) -> ProcessSpecification {
        ProcessSpecification(
            executable: "/bin/sh",
            arguments: ["-c", script, mark],
            environment: ["PATH": "/usr/bin:/bin"],
            workingDirectory: "/",
            outputFile: scratch.path.appending("output"),
            mark: mark
        )
    }

    private static func makeSupervisor() -> ChildProcessSupervisor {
        ChildProcessSupervisor(logger: QEMUFixture.logger)
    }

    private func output(of script: String) async throws -> String {
        try await Scratch.with { scratch in
            let process = try await Self.makeSupervisor().start(Self.specification(script, scratch))
            _ = try await withDeadline(.seconds(30), "no exit") { try await process.waitForExit() }
            return try String(contentsOfFile: scratch.path.appending("output").string, encoding: .utf8)
        }
    }

    @Test(arguments: ProcessSupervisorConformance.claims)
    func itIsAProcessSupervisor(_ claim: ConformanceClaim<ProcessSupervisorConformance.Subject>) async throws {
        try await Scratch.with { scratch in
            try await claim.check(
                ProcessSupervisorConformance.Subject(
                    supervisor: Self.makeSupervisor(),
                    restart: { Self.makeSupervisor() },
                    // The shell stays, and so does its mark.
                    lasting: Self.specification("while :; do read x < /dev/ptmx; done", scratch),
                    ending: Self.specification("exit 7", scratch)
                )
            )
        }
    }

    @Test func aProcessHasNoDescriptorButTheFirstThree() async throws {
        // The descriptor that ls has open itself is 3.
        #expect(
            try await output(of: "exec ls -x /proc/self/fd").split(whereSeparator: \.isWhitespace) == [
                "0", "1", "2", "3",
            ]
        )
    }

    @Test func aProcessLeadsASessionOfItsOwn() async throws {
        // Fields 1 and 6 of /proc/pid/stat: its number, and its session's.
        let fields = try await output(of: "cat /proc/$$/stat").split(separator: " ")
        #expect(fields[0] == fields[5])
    }

    @Test(arguments: [[], [.networkAdministration, .privilegedPorts]] as [Set<ProcessCapability>])
    func aProcessHasTheRightsItIsGivenAndNoOthers(_ capabilities: Set<ProcessCapability>) async throws {
        try await Scratch.with { scratch in
            var specification = Self.specification("cat /proc/self/status", scratch)
            specification.capabilities = capabilities
            _ = try await Self.makeSupervisor().start(specification).waitForExit()
            let text = try String(contentsOfFile: scratch.path.appending("output").string, encoding: .utf8)
            let lines = text.split(separator: "\n").map { $0.split(separator: "\t") }
            func mask(_ name: String) throws -> UInt64 {
                let line = try #require(lines.first { $0.first == "\(name):" })
                return try #require(UInt64(line[1], radix: 16))
            }
            // CAP_DAC_READ_SEARCH, which a root process keeps; the tests run as root.
            let expected = capabilities.mask | 1 << 2
            for name in ["CapEff", "CapPrm", "CapBnd"] { #expect(try mask(name) == expected) }
            #expect(try mask("CapAmb") == 0)
            #expect(lines.contains(["NoNewPrivs:", "1"]))
            // The agent's own are untouched.
            let own = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
            #expect(own.contains("NoNewPrivs:\t0"))
        }
    }

    @Test func theEnvironmentIsTheGivenOne() async throws {
        let names = try await output(of: "exec env").split(separator: "\n").map { $0.prefix { $0 != "=" } }
        #expect(Set(names).subtracting(["PWD", "SHLVL", "_", "OLDPWD"]) == ["PATH"])
    }

    @Test func outputIsAppendedAndBothStreamsAreIn() async throws {
        try await Scratch.with { scratch in
            let supervisor = Self.makeSupervisor()
            for word in ["one", "two"] {
                let process = try await supervisor.start(Self.specification("echo \(word); echo \(word) >&2", scratch))
                _ = try await process.waitForExit()
            }
            let text = try String(contentsOfFile: scratch.path.appending("output").string, encoding: .utf8)
            #expect(text == "one\none\ntwo\ntwo\n")
        }
    }

    @Test(arguments: [false, true], [false, true])
    func outputIsBounded(afterARestart: Bool, elsewhere: Bool) async throws {
        try await Scratch.with { scratch in
            // dnsmasq moves its log to another descriptor, and closes the first three.
            let move = elsewhere ? "exec 7>&1 >/dev/null 2>&1; " : ""
            let output = elsewhere ? ">&7" : ""
            // 4 MiB, then a word.
            let specification = Self.specification(
                "\(move)read x < $0.go; head -c 4194304 /dev/zero \(output); sleep 0.1; echo end \(output); while :; do read x < /dev/ptmx; done",
                scratch,
                mark: scratch.path.appending("mark").string
            )
            #expect(mkfifo(specification.mark + ".go", 0o600) == 0)
            var supervisor: ChildProcessSupervisor? = Self.makeSupervisor()
            var process = try #require(try await supervisor?.start(specification))
            if afterARestart {
                supervisor = Self.makeSupervisor()
                process = try #require(try await supervisor?.adopt(process.identity))
            }
            try Data("go\n".utf8).write(to: URL(fileURLWithPath: specification.mark + ".go"))
            let file = scratch.path.appending("output").string
            try await withDeadline(.seconds(30), "the output is not bounded") {
                while true {
                    let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
                    if bytes.count <= 1 << 20, bytes.suffix(4) == Data("end\n".utf8) { return }
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            process.signal(SIGKILL)
            _ = try await process.waitForExit()
        }
    }

    @Test func anOutputFileThatIsALinkIsNotFollowed() async throws {
        try await Scratch.with { scratch in
            let target = scratch.path.appending("target").string
            try FileManager.default.createSymbolicLink(
                atPath: scratch.path.appending("output").string,
                withDestinationPath: target
            )
            await #expect(throws: AgentError.self) {
                try await Self.makeSupervisor().start(Self.specification("echo written", scratch))
            }
            #expect(!FileManager.default.fileExists(atPath: target))
        }
    }

    @Test func noZombieIsLeftThoughNobodyWaits() async throws {
        try await Scratch.with { scratch in
            let supervisor = Self.makeSupervisor()
            let identity = try await supervisor.start(Self.specification("exit 3", scratch)).identity
            try await withDeadline(.seconds(30), "process \(identity.pid) is not reaped") {
                while ProcessTable.status(of: identity.pid)?.startTime == identity.startTime {
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
        }
    }

    @Test func descriptorsAreClosedOnceProcessesHaveEnded() async throws {
        try await Scratch.with { scratch in
            let supervisor = Self.makeSupervisor()
            @Sendable func pidfds() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
                    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
                    return link?.contains("pidfd") == true
                }
            }
            for _ in 0..<50 {
                let process = try await supervisor.start(Self.specification("exit 0", scratch))
                _ = try await process.waitForExit()
            }
            // Those of tests that run at the same time come and go; fifty leaked ones stay.
            try await withDeadline(.seconds(30), "pidfds are leaked") {
                while try pidfds() > 25 { try await Task.sleep(for: .milliseconds(20)) }
            }
        }
    }

    @Test func findingTwiceWatchesOnce() async throws {
        try await Scratch.with { scratch in
            let supervisor = Self.makeSupervisor()
            let specification = Self.specification("while :; do read x < /dev/ptmx; done", scratch)
            let process = try await supervisor.start(specification)
            let found = try #require(try await supervisor.find(mark: specification.mark).first as? WatchedProcess)
            #expect(found === process as? WatchedProcess)
            process.signal(SIGKILL)
            // The one that was found is the child, so its exit is known too.
            #expect(try await found.waitForExit() == .signal(9))
        }
    }

    @Test func theStatusLineIsReadWhateverTheProgramIsCalled() {
        let tail = "S 1 2 2 0 -1 0 0 0 0 0 11 22 0 0 20 0 1 0 987654 0 0"
        for name in ["sh", "a b", "a) S 1 (", ")))"] {
            let status = ProcessTable.Status("42 (\(name)) \(tail)")
            #expect(status?.startTime == 987_654)
            #expect(status?.cpuTicks == 33)
            #expect(status?.state == "S")
        }
        #expect(ProcessTable.Status("") == nil)
        #expect(ProcessTable.Status("42 (sh) S 1") == nil)
    }
}
