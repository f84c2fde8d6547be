import AgentCore
import Foundation
import GuestProtocol
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Synchronization
import Testing

@testable import AgentHTTP

/// Exec as existing clients speak it.
@Suite struct PlainExecTests {
    private static func frames(_ inbound: inout WebSocketClient.Inbound, _ count: Int) async throws -> [Frame] {
        var frames: [Frame] = []
        while frames.count < count, let frame = try await inbound.next() { frames.append(Frame(frame)) }
        return frames
    }

    @Test func outputIsBinaryAndTheExitIsText() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.exec = { _ in
                    ScriptedProcess(output: [(.stdout, "out"), (.stderr, "err")], exit: GuestExit(code: 7))
                }
            }
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(
                    text: #"{"command":["x"],"tty":false,"env":{"A":"b"},"cwd":"/","timeout":5,"wait_for_agent":1}"#
                )
                let frames = try await Self.frames(&inbound, 4)
                #expect(
                    frames == [
                        .binary(Array("out".utf8)), .binary(Array("err".utf8)), .text(#"{"exitCode":7}"#), .close(1000),
                    ]
                )
            }
            let request = try #require(server.instances.script.withLock { $0.execRequests.first })
            #expect(request.program.arguments == ["x"])
            #expect(request.program.environment == ["A=b"])
            #expect(request.timeoutMilliseconds == 5000)
            #expect(request.stdin)
            #expect(request.terminal == nil)
        }
    }

    @Test func emptyCommandIsAShell() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(text: #"{"command":[],"tty":true}"#)
                #expect(try await Self.frames(&inbound, 1) == [.text(#"{"exitCode":0}"#)])
            }
            let request = try #require(server.instances.script.withLock { $0.execRequests.first })
            #expect(request.program.arguments == ["/bin/sh"])
            #expect(request.terminal == TerminalSize(rows: 24, columns: 80))
        }
    }

    @Test func everyFurtherFrameIsInputButTheResize() async throws {
        let process = ScriptedProcess(copiesInput: true)
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(text: #"{"command":["cat"]}"#)
                try await client.send(text: "typed")
                try await client.send(binary: [0, 1, 2])
                try await client.send(text: #"{"resize":{"rows":50,"cols":120}}"#)
                try await client.send(text: #"{"resize":{"rows":0}}"#)
                let frames = try await Self.frames(&inbound, 3)
                #expect(
                    frames == [
                        .binary(Array("typed".utf8)), .binary([0, 1, 2]),
                        .binary(Array(#"{"resize":{"rows":0}}"#.utf8)),
                    ]
                )
            }
            await process.waitUntilKilled()
            #expect(process.calls.withLock { $0 } == [.resize(TerminalSize(rows: 50, columns: 120)), .kill])
        }
    }

    @Test func badFirstFrameIsRefusedInItsForm() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            for text in ["nonsense", #"{"comand":["x"]}"#, #"{"command":"x"}"#] {
                try await WebSocketClient.with(server) { client, inbound in
                    try await client.send(text: text)
                    let frames = try await Self.frames(&inbound, 2)
                    guard case .text(let answer)? = frames.first else {
                        Issue.record("\(frames)")
                        return
                    }
                    #expect(answer.hasPrefix(#"{"error":""#))
                    #expect(frames.last == .close(1000))
                }
            }
        }
    }

    @Test func failureToRunIs127() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in throw AgentError(.invalidState, "it is not running") } }
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(text: #"{"command":["x"]}"#)
                let frames = try await Self.frames(&inbound, 2)
                #expect(frames == [.binary(Array("Error: it is not running\r\n".utf8)), .text(#"{"exitCode":127}"#)])
            }
        }
    }

    @Test func reasonsAreToldBeforeTheUpgrade() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("stopped", state: .stopped)
            server.instances.add("a")
            let token = try await TokenIssuer(secret: TestServer.secret).token(subject: "x", lifetime: .seconds(60))
            let port = server.port
            let refusal = try await onThread {
                let connection = try RawConnection(port: port)
                let head = """
                    GET /instances/stopped/exec HTTP/1.1\r
                    Host: x\r
                    Authorization: Bearer \(token)\r
                    Connection: Upgrade\r
                    Upgrade: websocket\r
                    Sec-WebSocket-Version: 13\r
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                    \r

                    """
                connection.send(Array(head.utf8))
                return connection.receive(until: #""code":"invalid_state""#)
            }
            #expect(refusal)
            #expect(try await server.request(.GET, "/instances/stopped/exec").status == 409)
            #expect(try await server.request(.GET, "/instances/none/exec").status == 404)
            #expect(try await server.request(.GET, "/instances/a/exec").status == 426)
        }
    }

    /// Runs `body` once a client's command is started: one that leaves before takes nothing with it.
    private static func withStarted(
        _ process: ScriptedProcess,
        _ server: TestServer,
        _ body: @escaping @Sendable (WebSocketClient) async throws -> Void
    ) async throws {
        server.instances.add("a")
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        server.instances.script.withLock { script in
            script.exec = { _ in
                start.finish()
                return process
            }
        }
        try await WebSocketClient.with(server) { client, _ in
            try await client.send(text: #"{"command":["sleep"]}"#)
            for await _ in started {}
            try await body(client)
        }
    }

    @Test func clientThatLeavesTakesItsCommandWithIt() async throws {
        let process = ScriptedProcess()
        try await TestServer.with { server async throws in
            try await Self.withStarted(process, server) { client in
                try await client.channel.close()
            }
            await process.waitUntilKilled()
        }
    }

    @Test func clientThatLeavesIsNoticedBehindUnreadInput() async throws {
        let process = ScriptedProcess(stalls: true)
        try await TestServer.with { server async throws in
            try await Self.withStarted(process, server) { client in
                // More than the buffers on the way hold: the command takes nothing.
                let flood = Task {
                    while !Task.isCancelled {
                        do { try await client.send(binary: [UInt8](repeating: 1, count: 1 << 16)) } catch { return }
                    }
                }
                while client.channel.isWritable { await Task.yield() }
                flood.cancel()
                try await client.channel.close()
                await flood.value
            }
            await process.waitUntilKilled()
        }
    }

    @Test func pingIsAnsweredAndCloseIsEchoed() async throws {
        let process = ScriptedProcess()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(text: #"{"command":["sleep"]}"#)
                try await client.send(.ping, ByteBuffer(string: "hey"), true)
                #expect(try await Self.frames(&inbound, 1) == [.pong("hey")])
                try await client.send(.connectionClose, ByteBuffer(integer: UInt16(1001)), true)
                #expect(try await Self.frames(&inbound, 1) == [.close(1001)])
            }
            await process.waitUntilKilled()
        }
    }

    @Test func oversizeFrameEndsTheConnection() async throws {
        let process = ScriptedProcess()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            try await WebSocketClient.with(server) { client, inbound in
                try await client.send(text: #"{"command":["sleep"]}"#)
                do { try await client.send(binary: [UInt8](repeating: 0, count: 2 << 20)) } catch {}
                do {
                    #expect(try await Self.frames(&inbound, 1) == [.close(1009)])
                } catch {
                    // The connection may be reset before the close frame is read.
                }
            }
            await process.waitUntilKilled()
        }
    }

    @Test func agentsEndIsTheSessionsEnd() async throws {
        let process = ScriptedProcess()
        let client = SessionBox()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            let started = AsyncStream<Void>.makeStream()
            client.task = Task {
                try await WebSocketClient.with(server) { client, inbound in
                    try await client.send(text: #"{"command":["sleep"]}"#)
                    try await client.send(.ping, ByteBuffer(), true)
                    _ = try await inbound.next()
                    started.continuation.finish()
                    while try await inbound.next() != nil {}
                }
            }
            for await _ in started.stream {}
        }
        await process.waitUntilKilled()
        _ = try? await client.task?.value
    }

    /// `@unchecked Sendable`: written before it is read, by one test.
    private final class SessionBox: @unchecked Sendable {
        var task: Task<Int?, any Error>?
    }
}
