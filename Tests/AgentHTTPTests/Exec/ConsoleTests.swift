import AgentAPI
import AgentCore
import Foundation
import GuestProtocol
import NIOHTTP1
import Synchronization
import Testing

@testable import AgentHTTP

/// The serial console over a WebSocket: attach's frames, one way.
@Suite struct ConsoleTests {
    @Test func itIsReadInAnyState() async throws {
        let process = ScriptedProcess(output: [(.stdout, "booting\n")])
        try await TestServer.with { server async throws in
            server.instances.add("a", state: .paused)
            server.instances.script.withLock { $0.attach = { _ in process } }
            try await WebSocketClient.with(server, path: "console?tail=5", subprotocol: ExecProtocol.name) {
                client,
                inbound in
                try await client.send(text: "{}")
                let frame = try await inbound.next().map { Frame($0) }
                #expect(frame == .binary([1] + Array("booting\n".utf8)))
            }
            #expect(server.instances.script.withLock { $0.consoleTails } == [5])
        }
    }

    @Test(arguments: [
        ("/instances/a/console", 426, "upgrade_required"), ("/instances/a/console?tail=-1", 426, "upgrade_required"),
        ("/instances/a/console?tail=-2", 400, "invalid_query"), ("/instances/a/console?tail=x", 400, "invalid_query"),
        ("/instances/a/console?logs=true", 400, "unknown_parameter"), ("/instances/nope/console", 404, "not_found"),
    ])
    func withoutAWebSocketItIsRefused(_ path: String, _ status: Int, _ code: String) async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a", state: .stopped)
            let answer = try await server.request(.GET, path)
            #expect(answer.status == status)
            #expect(try answer.errorCode == code)
        }
    }
}
