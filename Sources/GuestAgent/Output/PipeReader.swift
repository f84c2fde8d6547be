import CInit
import NIOCore
import NIOPosix

/// Reads a pipe or a terminal as fast as somebody takes what it read.
///
/// Used on its event loop only.
final class PipeReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// Bytes still read once the writer has ended: more than any pipe holds by default, and bounded, since a process
    /// that was left behind may go on writing.
    private static let finishingLimit = 1 << 20

    private let canRead: () -> Bool
    private let onBytes: ([UInt8]) -> Void
    private let onEnd: () -> Void
    private var descriptor: Int32 = -1
    private var context: ChannelHandlerContext?
    private var finishing: Int?
    private var ended = false

    init(canRead: @escaping () -> Bool, onBytes: @escaping ([UInt8]) -> Void, onEnd: @escaping () -> Void) {
        self.canRead = canRead
        self.onBytes = onBytes
        self.onEnd = onEnd
    }

    /// Takes over the descriptor.
    func start(_ descriptor: Int32, on eventLoop: any EventLoop) {
        self.descriptor = descriptor
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        NIOPipeBootstrap(group: eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 32 << 10))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .takingOwnershipOfDescriptor(input: descriptor)
            .whenFailure { _ in bound.value.end() }
    }

    /// Goes on reading if ``canRead`` allows it again.
    func resume() {
        guard let context, !ended else { return }
        if let finishing, finishing <= 0 || hypeman_has_input(descriptor) <= 0 {
            context.close(promise: nil)
            return
        }
        if canRead() { context.read() }
    }

    /// Reads what is there, and ends.
    func finish() {
        guard finishing == nil else { return }
        finishing = PipeReader.finishingLimit
        resume()
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        resume()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        if let left = finishing { finishing = left - buffer.readableBytes }
        onBytes(Array(buffer.readableBytesView))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        resume()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
    }

    /// A terminal that nobody has open any more reads as EIO: an end like any other.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func end() {
        guard !ended else { return }
        ended = true
        context = nil
        onEnd()
    }
}
