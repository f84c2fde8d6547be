import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// `run -it`, `attach` and `run -i` on real parts, typed to as a person does.
@Suite(.serialized) struct TerminalTests {
    @Test func runOnATerminalFeelsLikeAShell() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            try await agent.terminal(
                "run",
                "-it",
                "--rm",
                "--name",
                "box",
                "--memory",
                "128MB",
                "-e",
                "PS1=>>",
                "busybox:1",
                "sh"
            ) { terminal in
                try await terminal.expect(">>")
                try terminal.type("echo one$((1+1))three\n")
                try await terminal.expect("one2three\r\n")
                try await terminal.expect(">>")
                try terminal.type("stty size; tty\n")
                try await terminal.expect("24 80\r\n/dev/pts/0\r\n")
                try await terminal.expect(">>")
                terminal.resize(rows: 41, columns: 123)
                // The new size is on its way while this is typed; it is asked for until it is there.
                try terminal.type("until stty size | grep -q '41 123'; do sleep 0.1; done; stty size\n")
                try await terminal.expect("41 123\r\n")
                try await terminal.expect(">>")
                try terminal.type("echo now$((1+1)); sleep 1000\n")
                try await terminal.expect("now2\r\n")
                try terminal.type("\u{3}")
                try await terminal.expect(">>")
                try terminal.type("exit 3\n")
                let end = try await terminal.end()
                #expect(end.code == 3 && end.isCooked, "\(terminal.transcript)")
            }
            #expect(try await agent.expect("ps", "-a", "-q") == "")
        }
    }

    @Test func programGoesOnWhenItsUserOrItsAgentLeaves() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            try await agent.expect("run", "-dit", "--name", "box", "--memory", "128MB", "busybox:1", "sh")
            try await agent.terminal("attach", "box") { terminal in
                try terminal.type("x=kept; echo in$x\n")
                try await terminal.expect("inkept\r\n")
                try terminal.type("\u{10}\u{11}")
                let end = try await terminal.end()
                #expect(end.code == 0 && end.isCooked)
            }
            await agent.stop(SIGKILL)
            try await agent.start()
            try await agent.terminal("attach", "box") { terminal in
                try terminal.type("echo still$x\n")
                try await terminal.expect("stillkept\r\n")
                try terminal.type("exit 7\n")
                #expect(try await terminal.end().code == 7)
            }
            #expect(try await agent.expect("inspect", "box").contains("\"exit_code\" : 7"))
        }
    }

    @Test func pipedInputGoesThroughAProgramAndEndsIt() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            let text = (0..<20_000).map { "line \($0)\n" }.joined()
            let outcome = try await agent.hypeman(
                ["run", "-i", "--rm", "--name", "box", "--memory", "128MB", "busybox:1", "sha256sum"],
                input: Array(text.utf8)
            )
            #expect(outcome.code == 0)
            let file = try agent.scratch.write(Array(text.utf8), to: "input")
            let sum = try await tool("sha256sum", [file.string]).prefix(64)
            #expect(outcome.output.hasPrefix(sum), "\(outcome)")
            let refused = try await agent.refusal("run", "-t", "busybox:1", "sh")
            #expect(refused.contains("not a terminal"))
            #expect(try await agent.expect("ps", "-a", "-q") == "")
        }
    }

    @Test func programThatEndsAtOnceIsWholeHoweverItIsRun() async throws {
        try await PrivateAgent.withBusybox { agent async throws in
            for (flags, input) in [([], []), (["-i"], Array("x".utf8))] as [([String], [UInt8])] {
                for code in 1...3 {
                    let outcome = try await agent.hypeman(
                        ["run", "--rm", "--memory", "128MB"] + flags
                            + ["busybox:1", "sh", "-c", "echo one; echo two >&2; exit \(code)"],
                        input: input
                    )
                    #expect(outcome.code == code, "\(outcome)")
                    #expect(outcome.output == "one\n" && outcome.errors == "two\n", "\(outcome)")
                }
            }
        }
    }
}
