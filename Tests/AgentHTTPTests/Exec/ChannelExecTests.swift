import AgentAPI
import AgentCore
import Foundation
import GuestProtocol
import NIOCore
import NIOWebSocket
import Synchronization
import Testing

@testable import AgentHTTP

/// Exec with this agent's subprotocol.
@Suite struct ChannelExecTests {
    @Test func streamsAreSeparateAndTheOutcomeSaysAll() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock {
                $0.exec = { _ in
                    ScriptedProcess(
                        output: [(.stdout, "o"), (.stderr, "e")],
                        exit: GuestExit(code: 137, signal: 9, message: "out of memory")
                    )
                }
            }
            try await WebSocketClient.with(server, subprotocol: "x, \(ExecProtocol.name)") { client, inbound in
                try await client.send(text: #"{"command":["x"],"stdin":false}"#)
                var frames: [Frame] = []
                while let frame = try await inbound.next(), frames.count < 4 { frames.append(Frame(frame)) }
                #expect(
                    frames == [
                        .binary([1, 111]), .binary([2, 101]),
                        .text(#"{"exit_code":137,"message":"out of memory","signal":9,"type":"exit"}"#), .close(1000),
                    ]
                )
            }
            #expect(server.instances.script.withLock { $0.execRequests.first?.stdin } == false)
        }
    }

    @Test func controlsReachTheCommand() async throws {
        let process = ScriptedProcess()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            try await WebSocketClient.with(server, subprotocol: ExecProtocol.name) { client, inbound in
                try await client.send(text: #"{"command":["x"]}"#)
                try await client.send(text: #"{"type":"resize","#, isLast: false)
                try await client.send(.continuation, ByteBuffer(string: #""rows":5,"cols":6}"#), true)
                try await client.send(text: #"{"type":"stdin_end"}"#)
                try await client.send(text: #"{"type":"signal","signal":15}"#)
                let last = try await inbound.next().map(Frame.init)
                #expect(last == .text(#"{"exit_code":143,"signal":15,"type":"exit"}"#))
            }
            #expect(
                process.calls.withLock { $0 } == [.resize(TerminalSize(rows: 5, columns: 6)), .closeInput, .signal(15)]
            )
        }
    }

    @Test(arguments: [
        #"{"type":"dance"}"#, #"{"type":"signal","signal":0}"#, "x", #"{"type":"resize","rows":1,"cols":1,"depth":2}"#,
    ])
    func badControlEndsTheSession(text: String) async throws {
        let process = ScriptedProcess()
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in process } }
            try await WebSocketClient.with(server, subprotocol: ExecProtocol.name) { client, inbound in
                try await client.send(text: #"{"command":["x"]}"#)
                try await client.send(text: text)
                guard case .text(let answer)? = try await inbound.next().map(Frame.init) else {
                    Issue.record("no answer")
                    return
                }
                #expect(answer.contains(#""type":"error""#))
            }
            await process.waitUntilKilled()
        }
    }

    @Test func sixtyFourMebibytesComeBackUnchanged() async throws {
        try await TestServer.with { server async throws in
            server.instances.add("a")
            server.instances.script.withLock { $0.exec = { _ in ScriptedProcess(copiesInput: true) } }
            let chunk = 1 << 16
            let count = 64 << 20 / chunk
            // Whole arrays are compared: byte by byte this takes minutes in a debug build.
            let pattern = (0..<chunk).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            @Sendable func piece(_ number: Int) -> [UInt8] {
                var bytes = pattern
                for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: number >> (8 * index)) }
                return bytes
            }
            try await WebSocketClient.with(server, subprotocol: ExecProtocol.name) { client, inbound in
                try await client.send(text: #"{"command":["cat"]}"#)
                let outbound = client
                let sender = Task {
                    for number in 0..<count { try await outbound.send(binary: [ExecProtocol.stdin] + piece(number)) }
                    try await outbound.send(text: #"{"type":"stdin_end"}"#)
                }
                var received = 0
                var isSame = true
                loop: while let frame = try await inbound.next() {
                    switch Frame(frame) {
                    case .binary(let bytes):
                        isSame = isSame && bytes == [ExecProtocol.stdout] + piece(received)
                        received += 1
                    case .text(let text):
                        #expect(text == #"{"exit_code":0,"type":"exit"}"#)
                        break loop
                    default: continue
                    }
                }
                try await sender.value
                #expect(received == count)
                #expect(isSame)
            }
        }
    }
}

/// The hand-over between two tasks.
@Suite struct HandoffTests {
    @Test func valuesArriveInOrderAndSendersWait() async {
        let handoff = Handoff<Int>()
        let sender = Task {
            for number in 0..<1000 { await handoff.send(number) }
            handoff.finish()
        }
        var received: [Int] = []
        while let number = await handoff.next() { received.append(number) }
        await sender.value
        #expect(received == Array(0..<1000))
    }

    @Test func endReleasesBothSides() async {
        let handoff = Handoff<Int>()
        let sender = Task { await handoff.send(1) }
        handoff.finish()
        await sender.value
        #expect(await handoff.next() == nil)
        let cancelled = Handoff<Int>()
        let taker = Task { await cancelled.next() }
        taker.cancel()
        #expect(await taker.value == nil)
    }
}
