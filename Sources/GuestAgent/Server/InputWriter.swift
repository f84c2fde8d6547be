import NIOCore
import NIOPosix

/// Writes to a command's stdin as fast as the command reads.
///
/// Used on its event loop only.
final class InputWriter {
    private let isTerminal: Bool
    /// Told how many bytes wait whenever that changes.
    private let onWaiting: (Int) -> Void
    private var channel: (any Channel)?
    private var early: [ByteBuffer] = []
    private var waiting = 0
    private var isFinished = false
    private var isAbandoned = false

    init(isTerminal: Bool, onWaiting: @escaping (Int) -> Void) {
        self.isTerminal = isTerminal
        self.onWaiting = onWaiting
    }

    /// Takes over the descriptor.
    func start(_ descriptor: Int32, on eventLoop: any EventLoop) {
        NIOPipeBootstrap(group: eventLoop)
            .takingOwnershipOfDescriptor(output: descriptor)
            .assumeIsolated()
            .whenSuccess { [self] channel in
                // A program that was over at once.
                guard !isAbandoned else { return channel.close(promise: nil) }
                self.channel = channel
                for buffer in early { send(buffer) }
                early = []
                if isFinished { finish() }
            }
    }

    func write(_ bytes: [UInt8]) {
        guard !isFinished, !bytes.isEmpty else { return }
        waiting += bytes.count
        onWaiting(waiting)
        send(ByteBuffer(bytes: bytes))
    }

    /// End of file, after what was written.
    ///
    /// A terminal is told with Control-D, its usual character for it (termios(3)).
    func finish() {
        if isTerminal, !isFinished { write([0x04]) }
        isFinished = true
        guard let channel, !isTerminal else { return }
        // The last write's promise is kept in order after all before it.
        channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
    }

    /// Nobody reads any more.
    func abandon() {
        isFinished = true
        isAbandoned = true
        channel?.close(promise: nil)
        early = []
    }

    private func send(_ buffer: ByteBuffer) {
        guard let channel else {
            early.append(buffer)
            return
        }
        channel.writeAndFlush(buffer).assumeIsolated().whenComplete { [self] _ in
            waiting -= buffer.readableBytes
            onWaiting(waiting)
        }
    }
}
