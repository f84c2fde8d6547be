import AgentTestSupport
import GuestTransport
import NIOCore
import NIOEmbedded
import Testing

@Suite struct SessionTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    /// What a guest makes of a stream: the sessions in it, each with the bytes that came after its greeting.
    private func sessions(in pieces: [[UInt8]]) -> [(nonce: [UInt8], bytes: [UInt8])] {
        var scanner = SessionScanner(secret: SessionTests.secret)
        var sessions: [(nonce: [UInt8], bytes: [UInt8])] = []
        for piece in pieces {
            piece.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    switch scanner.next(in: UnsafeRawBufferPointer(rebasing: rest)) {
                    case .data(let count):
                        if !sessions.isEmpty { sessions[sessions.count - 1].bytes += rest.prefix(count) }
                        rest = rest.dropFirst(count)
                    case .session(let count, let nonce):
                        sessions.append((nonce, []))
                        rest = rest.dropFirst(count)
                    }
                }
            }
        }
        return sessions
    }

    @Test func greetingIsFoundAfterGarbageWhereverItIsSplit() {
        let nonce = SessionMarker.freshNonce()
        let greeting = SessionMarker.greeting(secret: SessionTests.secret, nonce: nonce)
        // What was left of another greeting comes directly before.
        let stream = [0xF5, 0x00] + greeting.prefix(30) + [0xF5] + greeting + Array("PRI".utf8)
        for split in 0...stream.count {
            let found = sessions(in: [Array(stream[..<split]), Array(stream[split...])])
            #expect(found.map(\.nonce) == [nonce])
            #expect(found.last?.bytes == Array("PRI".utf8))
        }
        #expect(sessions(in: stream.map { [$0] }).map(\.nonce) == [nonce])
    }

    @Test func greetingInTheMidstOfASessionBeginsAnother() {
        let nonces = [SessionMarker.freshNonce(), SessionMarker.freshNonce()]
        var stream: [UInt8] = []
        for nonce in nonces { stream += SessionMarker.greeting(secret: SessionTests.secret, nonce: nonce) + [1, 2, 3] }
        let found = sessions(in: [stream])
        #expect(found.map(\.nonce) == nonces)
        #expect(found.last?.bytes == [1, 2, 3])
    }

    @Test func greetingOfAnotherBootIsNoGreeting() {
        let other = String(repeating: "f", count: SessionMarker.tokenSize)
        #expect(sessions(in: [SessionMarker.greeting(secret: other, nonce: SessionMarker.freshNonce())]).isEmpty)
    }

    @Test func dataWithoutGreetingPassesUnchanged() {
        var random = SeededGenerator(seed: 3)
        let nonce = SessionMarker.freshNonce()
        var pieces = [SessionMarker.greeting(secret: SessionTests.secret, nonce: nonce)]
        // Many candidates for a start.
        let data = (0..<200).map { _ in random.bytes(100).map { $0 < 64 ? 0xF5 : $0 } }
        pieces += data
        #expect(sessions(in: pieces).first?.bytes == data.flatMap { $0 })
    }

    @Test func onlySecretsOf32HexadecimalDigitsAreValid() {
        #expect(SessionMarker.isValid(secret: SessionTests.secret))
        for secret in [
            "", "0123456789ABCDEF0123456789ABCDEF", String(repeating: "0", count: 31),
            String(repeating: "g", count: 32),
        ] {
            #expect(!SessionMarker.isValid(secret: secret))
        }
    }

    private final class Recorder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var bytes: [UInt8] = []
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += unwrapInboundIn(data).readableBytesView
        }
    }

    private func nonce(of greeting: ByteBuffer?) throws -> [UInt8] {
        try #require(greeting).readableBytesView.suffix(SessionMarker.tokenSize)
    }

    @Test func hostDropsEverythingUntilTheAnswerToItsLastGreeting() throws {
        let channel = EmbeddedChannel()
        let recorder = Recorder()
        let greeting = SessionGreetingHandler(secret: SessionTests.secret) {
            try $0.pipeline.syncOperations.addHandler(recorder)
        }
        try channel.pipeline.syncOperations.addHandler(greeting)
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).wait()
        let first = try nonce(of: channel.readOutbound(as: ByteBuffer.self))
        try channel.writeInbound(
            ByteBuffer(bytes: [9, 9, 0xF5] + SessionMarker.answer(nonce: SessionMarker.freshNonce()))
        )

        channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        let second = try nonce(of: channel.readOutbound(as: ByteBuffer.self))
        #expect(first != second)
        try channel.writeInbound(ByteBuffer(bytes: SessionMarker.answer(nonce: first) + [8]))
        #expect(recorder.bytes.isEmpty)

        let answer = SessionMarker.answer(nonce: second) + [1, 2]
        try channel.writeInbound(ByteBuffer(bytes: Array(answer[..<20])))
        try channel.writeInbound(ByteBuffer(bytes: Array(answer[20...])))
        try channel.writeInbound(ByteBuffer(bytes: [3]))
        #expect(recorder.bytes == [1, 2, 3])
        channel.embeddedEventLoop.advanceTime(by: .seconds(1000))
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        _ = try channel.finish()
    }
}
