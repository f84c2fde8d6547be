import AgentCore
import AgentTestSupport
import Foundation
import GuestProtocol
import Synchronization
import SystemPackage
import Testing

@testable import AgentHTTP

/// The real command line on a real terminal, against a server whose program is scripted.
@Suite struct AttachCommandTests {
    /// Where SwiftPM puts programs: beside the tests.
    private static func program(_ name: String) throws -> FilePath {
        let directories = [
            FilePath(Bundle.main.executablePath ?? CommandLine.arguments[0]).removingLastComponent(),
            FilePath(FileManager.default.currentDirectoryPath).appending(".build").appending("debug"),
        ]
        return try #require(
            directories.map { $0.appending(name) }.first { FileManager.default.isExecutableFile(atPath: $0.string) }
        )
    }

    private static func hypeman<T>(
        _ server: TestServer,
        _ arguments: [String],
        _ body: (TerminalSession) async throws -> T
    ) async throws -> T {
        try await TerminalSession.with(
            try program("hypeman"),
            arguments,
            environment: ["HYPEMAN_SOCKET": server.socket.string, "TERM": "xterm", "PATH": "/usr/bin:/bin"],
            body
        )
    }

    private static func add(_ server: TestServer, state: InstanceState = .running, terminal: Bool = true) {
        server.instances.add("a", state: state) { instance in
            instance.specification.terminal = terminal
            instance.specification.openStandardInput = true
        }
    }

    @Test func typedKeysReachTheProgramAndTheWayOutLeavesIt() async throws {
        let process = ScriptedProcess(output: [(.stdout, "$ ")], copiesInput: true, tellsSize: true)
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.script.withLock { $0.attach = { _ in process } }
            try await Self.hypeman(server, ["attach", "a"]) { terminal in
                try await terminal.expect("$ ")
                // A size that is told to whoever draws a screen, to have it drawn anew.
                try await terminal.expect("24x80")
                try terminal.type("ls\u{3}\u{10}x")
                try await terminal.expect("ls\u{3}\u{10}x")
                terminal.resize(rows: 40, columns: 100)
                try await terminal.expect("40x100")
                try terminal.type("\u{10}\u{11}")
                let end = try await terminal.end()
                #expect(end.code == 0 && end.isCooked)
            }
            await process.waitUntilKilled()
            #expect(!process.calls.withLock { $0 }.contains(.closeInput))
            #expect(server.instances.script.withLock { $0.attachRequests.first?.size?.rows } == 25)
        }
    }

    @Test func exitCodeIsTheProgramsAndTheTerminalIsRestored() async throws {
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.script.withLock {
                $0.attach = { _ in ScriptedProcess(output: [(.stdout, "bye\r\n")], exit: GuestExit(code: 42)) }
            }
            try await Self.hypeman(server, ["attach", "a"]) { terminal in
                try await terminal.expect("bye")
                let end = try await terminal.end()
                #expect(end.code == 42 && end.isCooked)
            }
        }
    }

    @Test func runOnATerminalAttachesWithTheLogSoFar() async throws {
        try await TestServer.with { server async throws in
            server.instances.script.withLock {
                $0.attach = { _ in ScriptedProcess(output: [(.stdout, "hello\r\n")], exit: GuestExit(code: 3)) }
            }
            try await Self.hypeman(server, ["run", "-it", "--rm", "--name", "box", "alpine", "sh"]) { terminal in
                try await terminal.expect("hello")
                let end = try await terminal.end()
                #expect(end.code == 3 && end.isCooked)
            }
            let script = server.instances.script.withLock { $0 }
            #expect(script.created.first?.terminal == true && script.created.first?.openStandardInput == true)
            let size = TerminalSize(rows: 24, columns: 80)
            #expect(script.attachRequests == [AttachInstanceRequest(size: size, includesLog: true)])
            #expect(script.instances.isEmpty, "--rm")
        }
    }

    @Test func programThatIsOverBeforeAnybodyAttachesIsStillShown() async throws {
        try await TestServer.with { server async throws in
            server.instances.script.withLock {
                $0.attach = { [instances = server.instances] _ in
                    instances.script.withLock { script in
                        script.instances[0].state = .stopped
                        script.instances[0].exit = InstanceExit(reason: .exited, code: 9)
                    }
                    throw AgentError(.invalidState, "instance 'box' is Stopped")
                }
                $0.logs = { _, _ in
                    AsyncThrowingStream { continuation in
                        continuation.yield(LogLine(time: Date(), stream: .stdout, bytes: Array("quick".utf8)))
                        continuation.finish()
                    }
                }
            }
            try await Self.hypeman(server, ["run", "-it", "--name", "box", "alpine", "true"]) { terminal in
                try await terminal.expect("quick")
                let end = try await terminal.end()
                #expect(end.code == 9 && end.isCooked)
            }
        }
    }

    @Test func interruptGoesToAProgramWithoutATerminal() async throws {
        let process = ScriptedProcess(output: [(.stdout, "ready")])
        try await TestServer.with { server async throws in
            Self.add(server, terminal: false)
            server.instances.script.withLock { $0.attach = { _ in process } }
            try await Self.hypeman(server, ["attach", "a"]) { terminal in
                try await terminal.expect("ready")
                try terminal.type("\u{3}")
                #expect(try await terminal.end().code == 130)
            }
            #expect(process.calls.withLock { $0 }.contains(.signal(2)))
        }
    }

    @Test func attachSaysWhatIsWrong() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("plain")
            Self.add(server, state: .stopped)
            try await Self.refuses(server, ["plain"], saying: "hypeman logs -f plain")
            try await Self.refuses(server, ["a"], saying: "--no-stdin")
            try await Self.refuses(server, ["--no-stdin", "a"], saying: "hypeman start a")
        }
    }

    /// Without a terminal: the kernel throws away what a session's leader wrote last and nobody has read yet when it ends.
    private static func refuses(_ server: TestServer, _ arguments: [String], saying words: String) async throws {
        let command = ["HYPEMAN_SOCKET=\(server.socket)", try program("hypeman").string, "attach"] + arguments
        let failure = await #expect(throws: ToolFailure.self) { try await tool("env", command) }
        #expect(failure?.description.contains("exited(125)") == true && failure?.description.contains(words) == true)
    }
}
