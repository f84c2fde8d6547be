import AgentAPI
import AgentCore
import Foundation
import GuestProtocol
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Synchronization
import Testing

@testable import AgentHTTP

/// Attach: exec's frames, for the instance's own program.
@Suite struct AttachTests {
    private static func add(_ server: TestServer, state: InstanceState = .running) {
        server.instances.add("a", state: state) { instance in
            instance.specification.terminal = true
            instance.specification.openStandardInput = true
        }
    }

    private static func frames(_ inbound: inout WebSocketClient.Inbound, _ count: Int) async throws -> [Frame] {
        var frames: [Frame] = []
        while frames.count < count, let frame = try await inbound.next() { frames.append(Frame(frame)) }
        return frames
    }

    @Test func framesAreThoseOfExec() async throws {
        let process = ScriptedProcess(output: [(.stdout, "$ ")], copiesInput: true)
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.script.withLock { $0.attach = { _ in process } }
            try await WebSocketClient.with(server, path: "attach?logs=true", subprotocol: ExecProtocol.name) {
                client,
                inbound in
                try await client.send(text: #"{"rows":30,"cols":90,"wait_for_agent":5}"#)
                try await client.send(binary: [ExecProtocol.stdin] + Array("ls\n".utf8))
                let output = try await Self.frames(&inbound, 2)
                #expect(output == [.binary([1] + Array("$ ".utf8)), .binary([1] + Array("ls\n".utf8))])
                try await client.send(text: #"{"type":"resize","rows":10,"cols":20}"#)
                try await client.send(text: #"{"type":"signal","signal":15}"#)
                let end = try await Self.frames(&inbound, 2)
                #expect(end == [.text(#"{"exit_code":143,"signal":15,"type":"exit"}"#), .close(1000)])
            }
            let calls = process.calls.withLock { $0 }
            #expect(calls == [.resize(TerminalSize(rows: 10, columns: 20)), .signal(15)])
            let request = AttachInstanceRequest(size: TerminalSize(rows: 30, columns: 90), includesLog: true)
            #expect(server.instances.script.withLock { $0.attachRequests } == [request])
            #expect(server.instances.script.withLock { $0.execRequests } == [])
        }
    }

    @Test func withoutASubprotocolTheLastFrameIsTheExitCode() async throws {
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.script.withLock {
                $0.attach = { _ in ScriptedProcess(output: [(.stdout, "bye")], exit: GuestExit(code: 3)) }
            }
            try await WebSocketClient.with(server, path: "attach") { client, inbound in
                try await client.send(text: "{}")
                let frames = try await Self.frames(&inbound, 3)
                #expect(frames == [.binary(Array("bye".utf8)), .text(#"{"exitCode":3}"#), .close(1000)])
            }
            #expect(server.instances.script.withLock { $0.attachRequests } == [AttachInstanceRequest()])
        }
    }

    @Test func clientThatLeavesLetsGoOfTheProgram() async throws {
        let process = ScriptedProcess(output: [(.stdout, "$ ")])
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.script.withLock { $0.attach = { _ in process } }
            try await WebSocketClient.with(server, path: "attach") { client, inbound in
                try await client.send(text: "{}")
                #expect(try await Self.frames(&inbound, 1) == [.binary(Array("$ ".utf8))])
            }
            await process.waitUntilKilled()
        }
    }

    @Test(arguments: [#"{"command":["sh"]}"#, #"{"rows":0,"cols":1}"#, "x"])
    func firstFrameThatSaysNothingKnownIsRefused(text: String) async throws {
        try await TestServer.with { server async throws in
            Self.add(server)
            try await WebSocketClient.with(server, path: "attach", subprotocol: ExecProtocol.name) { client, inbound in
                try await client.send(text: text)
                guard case .text(let answer)? = try await Self.frames(&inbound, 1).first else {
                    Issue.record("no refusal")
                    return
                }
                #expect(answer.contains(#""type":"error""#))
            }
            #expect(server.instances.script.withLock { $0.attachRequests } == [])
        }
    }

    @Test func plainRequestIsToldWhyNot() async throws {
        try await TestServer.with { server async throws in
            Self.add(server)
            server.instances.add("plain")
            server.instances.add("over", state: .stopped) { $0.specification.openStandardInput = true }
            for (path, status, code) in [
                ("/instances/a/attach", 426, "upgrade_required"),
                ("/instances/a/attach?logs=maybe", 400, "invalid_query"),
                ("/instances/a/attach?log=true", 400, "unknown_parameter"),
                ("/instances/plain/attach", 501, "not_attachable"),
                ("/instances/over/attach", 409, "invalid_state"),
                ("/instances/none/attach", 404, "not_found"),
            ] {
                let answer = try await server.request(.GET, path)
                let found = try answer.errorCode
                #expect(answer.status == status && found == code, "\(path): \(answer.status) \(found)")
            }
        }
    }

    @Test func terminalAndStdinAreAskedForAndShown() async throws {
        try await TestServer.with { server async throws in
            let answer = try await server.request(
                .POST,
                "/instances",
                body: #"{"name":"box","image":"alpine","tty":true,"stdin_open":true}"#
            )
            #expect(answer.status == 201)
            let response = try answer.decode(InstanceResponse.self)
            #expect(response.tty == true && response.stdinOpen == true)
            let created = try #require(server.instances.script.withLock { $0.created.first })
            #expect(created.terminal && created.openStandardInput)
            let bad = try await server.request(.POST, "/instances", body: #"{"name":"b","image":"a","tty":"yes"}"#)
            #expect(bad.status == 400)
        }
    }
}
