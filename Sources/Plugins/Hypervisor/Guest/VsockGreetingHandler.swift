import GuestProtocol
import NIOCore

/// Asks a VMM that carries its guest's vsock as a unix socket for a port of the guest, before anything else goes over the
/// connection: `CONNECT <port>`, answered by `OK <number>` (docs/vsock.md of Cloud Hypervisor).
///
/// Handlers behind it see a connection that begins with that answer. A guest that does not listen shows as a connection
/// that is closed.
final class VsockGreetingHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Of the answer's line: a number of 32 bits and the word.
    private static let limit = 32

    private let port: UInt32
    private var answer: [UInt8] = []

    init(port: UInt32) {
        self.port = port
    }

    func channelActive(context: ChannelHandlerContext) {
        // No further: for those behind this one the connection is not there yet.
        let request = context.channel.allocator.buffer(string: "CONNECT \(port)\n")
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        while let byte = buffer.readInteger(as: UInt8.self) {
            guard byte == UInt8(ascii: "\n") else {
                answer.append(byte)
                guard answer.count < Self.limit else { return refuse(context) }
                continue
            }
            let words = String(decoding: answer, as: UTF8.self).split(separator: " ")
            guard words.count == 2, words[0] == "OK", UInt32(words[1]) != nil else { return refuse(context) }
            context.fireChannelActive()
            if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            return
        }
    }

    private func refuse(_ context: ChannelHandlerContext) {
        context.fireErrorCaught(VsockGreetingError(answer: String(decoding: answer, as: UTF8.self)))
        context.close(promise: nil)
    }
}

/// A VMM's answer that is none.
struct VsockGreetingError: Error, CustomStringConvertible {
    var answer: String
    var description: String { "the VMM answers '\(answer)' instead of OK" }
}
