import AgentCore
import AgentTestSupport
import GuestProtocol
import Testing

@Suite struct ConsoleTests {
    private static func text(_ conversation: any GuestConversation) async throws -> (String, GuestExit?) {
        var bytes: [UInt8] = []
        for try await event in conversation.events {
            switch event {
            case .output(_, let more): bytes += more
            case .exited(let exit): return (String(decoding: bytes, as: UTF8.self), exit)
            }
        }
        return (String(decoding: bytes, as: UTF8.self), nil)
    }

    @Test func allWhoFollowItHaveAllOfIt() async throws {
        try await AgentWorld.with { world in
            let id = try await world.make("web").id
            world.host.writeConsole("one\ntwo\n", of: id)
            let first = try await world.instances.console("web", tail: nil)
            let second = try await world.instances.console(id.rawValue, tail: nil)
            let followers = [first, second].map { console in Task { try await Self.text(console) } }
            world.host.writeConsole("three\n", of: id)
            world.host.exitProgram(of: id, GuestExit(code: 3))
            _ = try await world.wait(id, for: .stopped)
            for follower in followers {
                let (text, exit) = try await follower.value
                #expect(text == "one\ntwo\nthree\n" && exit?.code == 3)
            }
            let tail = try await Self.text(try await world.instances.console("web", tail: 1))
            #expect(tail.0 == "three\n", "of one that is stopped it is the log")
            await #expect(throws: AgentError.self) { _ = try await world.instances.console("nope", tail: nil) }
        }
    }

    @Test func thereIsNoInput() async throws {
        try await AgentWorld.with { world in
            _ = try await world.make("web")
            let console = try await world.instances.console("web", tail: nil)
            for body in [{ try await console.write([1]) }, { try await console.signal(2) }] as [() async throws -> Void]
            {
                let error = await #expect(throws: AgentError.self) { try await body() }
                #expect(error?.kind == .invalidState && error?.code == "no_input")
            }
            try await console.closeInput()
            try await console.resize(TerminalSize(rows: 1, columns: 1))
            await console.leave()
            #expect(try world.instances.get("web").state == .running)
        }
    }
}
