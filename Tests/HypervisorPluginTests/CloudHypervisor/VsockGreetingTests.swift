import NIOCore
import NIOEmbedded
import Testing

@testable import HypervisorPlugin

struct VsockGreetingTests {
    private final class Recorder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var isActive = false
        var bytes: [UInt8] = []
        func channelActive(context: ChannelHandlerContext) { isActive = true }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += unwrapInboundIn(data).readableBytesView
        }
    }

    private func connect() throws -> (EmbeddedChannel, Recorder) {
        let (channel, recorder) = (EmbeddedChannel(), Recorder())
        try channel.pipeline.syncOperations.addHandlers([VsockGreetingHandler(port: 721), recorder])
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).wait()
        let request = try channel.readOutbound(as: ByteBuffer.self)
        #expect(request.map { String(buffer: $0) } == "CONNECT 721\n")
        return (channel, recorder)
    }

    @Test func theConnectionBeginsWithTheAnswerWhereverItIsCut() throws {
        let bytes = Array("OK 1073741824\nrest".utf8)
        for cut in 0...bytes.count {
            let (channel, recorder) = try connect()
            #expect(!recorder.isActive)
            for part in [bytes[..<cut], bytes[cut...]] where !part.isEmpty {
                try channel.writeInbound(ByteBuffer(bytes: part))
            }
            #expect(recorder.isActive && recorder.bytes == Array("rest".utf8))
            _ = try channel.finish()
        }
    }

    @Test(arguments: ["ERR 1\n", "OK\n", "OK x\n", "OK 1 2\n", String(repeating: "O", count: 32)])
    func anythingElseEndsTheConnection(_ answer: String) throws {
        let (channel, recorder) = try connect()
        #expect(throws: VsockGreetingError.self) { try channel.writeInbound(ByteBuffer(string: answer)) }
        #expect(!recorder.isActive && !channel.isActive)
        _ = try? channel.finish()
    }
}
