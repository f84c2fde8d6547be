import AgentCore
import NIOCore
import NIOPosix
import SystemPackage

/// The agent's end of a guest's serial console, a unix socket of the VMM's.
final class SerialConsole: Sendable {
    private let channel: any Channel
    private let buffer: ConsoleBuffer

    /// What the guest writes, to one consumer; ends with the connection.
    var output: AsyncStream<[UInt8]> { buffer.stream }

    private init(channel: any Channel, buffer: ConsoleBuffer) {
        self.channel = channel
        self.buffer = buffer
    }

    /// Connects.
    static func connect(to socket: FilePath, on group: any EventLoopGroup) async throws -> SerialConsole {
        let buffer = ConsoleBuffer()
        let channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ConsoleHandler(buffer))
                }
            }
            .connect(unixDomainSocketPath: socket.string)
            .get()
        return SerialConsole(channel: channel, buffer: buffer)
    }

    func close() {
        channel.close(promise: nil)
    }

    /// Returns when the VMM has closed its end and all that it sent is in the buffer, or after `deadline`.
    func drain(within deadline: TimeAmount) async {
        await channel.waitForClose(within: deadline)
    }
}

/// Always reads, so that the VMM never waits for the agent.
private final class ConsoleHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let buffer: ConsoleBuffer

    init(_ buffer: ConsoleBuffer) {
        self.buffer = buffer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        buffer.append(unwrapInboundIn(data).readableBytesView)
    }

    func channelInactive(context: ChannelHandlerContext) {
        buffer.finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

extension Channel {
    /// Returns when the channel has closed, or closes it after `deadline`.
    func waitForClose(within deadline: TimeAmount) async {
        let timer = eventLoop.scheduleTask(in: deadline) { self.close(promise: nil) }
        _ = try? await closeFuture.get()
        timer.cancel()
    }
}
