import AgentTestSupport
import Foundation
import SystemPackage
import Testing

/// The agent as a service manager sees it, with the manager's own tools and sockets.
struct ServiceTests {
    /// The next message but those of the watchdog, as `NAME=value`.
    private func next(_ receiver: DatagramReceiver) throws -> [Substring] {
        while true {
            let lines = try receiver.receiveText().split(separator: "\n")
            // The watchdog speaks in between: a ping, and how the agent is.
            if lines == ["WATCHDOG=1"] || (lines.count == 1 && lines[0].hasPrefix("STATUS=")) { continue }
            return lines
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func itTakesItsSocketAndTellsItsState() async throws {
        let notifications = "@hypeman-\(UUID())"
        let receiver = try DatagramReceiver(at: notifications)
        try await PrivateAgent.with(
            ["NOTIFY_SOCKET": notifications, "WATCHDOG_USEC": "4000000", "LOG_LEVEL": ""],
            isActivated: true
        ) { agent in
            let pid = try #require(agent.pid)
            let ready = try next(receiver)
            #expect(ready == ["READY=1", "MAINPID=\(pid)", "STATUS=0 instances, 0 of them Running"])
            #expect(agent.log.contains("passed=true"), "\(agent.log)")
            // It lives, and is looked at.
            while try receiver.receiveText() != "WATCHDOG=1" {}

            // What can be taken up at once is, and what cannot is named.
            let file = agent.scratch.appending("hypeman.env").string
            try "LOG_LEVEL=debug\nPORT=9999\n".write(toFile: file, atomically: true, encoding: .utf8)
            kill(pid, SIGHUP)
            #expect(try next(receiver).first == "RELOADING=1")
            #expect(try next(receiver).first == "READY=1")
            #expect(agent.log.contains("level=debug"))
            #expect(agent.log.contains("changed=PORT"), "\(agent.log.suffix(2000))")
            try "PORT=many\n".write(toFile: file, atomically: true, encoding: .utf8)
            kill(pid, SIGHUP)
            #expect(try next(receiver).first == "RELOADING=1")
            #expect(try next(receiver).first == "READY=1")
            #expect(agent.log.contains("PORT='many'"))
            #expect(try await agent.hypeman("ps").code == 0)

            await agent.stop()
            #expect(try next(receiver).first == "STOPPING=1")
            // The socket is the manager's.
            #expect(FileManager.default.fileExists(atPath: agent.scratch.appending("run/agent.sock").string))
            try FileManager.default.removeItem(atPath: agent.scratch.appending("run/agent.sock").string)
            try "".write(toFile: file, atomically: true, encoding: .utf8)
            try await agent.start()
        }
    }

    @Test func aConfigurationThatDoesNotParseEndsItForGood() async throws {
        try await Scratch.with { scratch in
            let result = try await tool(
                "sh",
                [
                    "-c", #"PORT=many CONFIG_FILE=/dev/null "$1" serve 2>&1; echo "exit $?""#, "sh",
                    BuiltProgram.path("hypeman-agent").string,
                ]
            )
            #expect(result.contains("PORT='many'"))
            #expect(result.hasSuffix("exit 78\n"), "\(result)")
        }
    }
}
