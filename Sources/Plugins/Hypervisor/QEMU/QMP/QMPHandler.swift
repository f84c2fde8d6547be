import AgentCore
import Foundation
import NIOCore
import NIOFoundationCompat

/// The state of one QMP connection.
///
/// Lives on its event loop.
final class QMPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let greeting: EventLoopPromise<String>
    private let onEvent: @Sendable (QMPEvent) -> Void
    private let instance: InstanceID
    private var context: ChannelHandlerContext?
    private var pending: [UInt64: EventLoopPromise<ByteBuffer>] = [:]
    private var nextID: UInt64 = 0
    /// Why the connection ended; set once.
    private var failure: AgentError?

    init(
        greeting: EventLoopPromise<String>,
        instance: InstanceID,
        onEvent: @escaping @Sendable (QMPEvent) -> Void
    ) {
        self.greeting = greeting
        self.instance = instance
        self.onEvent = onEvent
    }

    /// Sends a command.
    ///
    /// - Parameters:
    ///   - promise: For the line of the answer.
    ///   - carrier: Sends the line by other means than the channel's; nil for the channel's.
    ///   - encode: Makes the line, given the id.
    /// - Returns: The id, to give it up by.
    func send(
        _ promise: EventLoopPromise<ByteBuffer>,
        by carrier: ((Data) throws -> Void)? = nil,
        encode: (UInt64) throws -> Data
    ) -> UInt64 {
        nextID += 1
        guard let context, failure == nil else {
            promise.fail(failure ?? lost(nil))
            return nextID
        }
        do {
            if let carrier {
                // The channel writes at once what it is given: commands are short, and QEMU reads them.
                guard context.channel.isWritable else { throw lost(nil) }
                try carrier(try encode(nextID) + [UInt8(ascii: "\n")])
                pending[nextID] = promise
                return nextID
            }
            var line = context.channel.allocator.buffer(capacity: 256)
            line.writeData(try encode(nextID))
            line.writeInteger(UInt8(ascii: "\n"))
            pending[nextID] = promise
            // A failed write closes the channel, which fails what is pending.
            context.writeAndFlush(wrapOutboundOut(line), promise: nil)
        } catch {
            promise.fail(error)
        }
        return nextID
    }

    /// Stops waiting for an answer; it is ignored if it still comes.
    func giveUp(_ id: UInt64, _ error: any Error) {
        pending.removeValue(forKey: id)?.fail(error)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        end(lost(nil))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let line = unwrapInboundIn(data)
        do {
            switch try QMPMessage(line: Data(line.readableBytesView)) {
            case .greeting(let version): greeting.succeed(version)
            case .success(let id): pending.removeValue(forKey: id)?.succeed(line)
            case .failure(let id?, let failure): pending.removeValue(forKey: id)?.fail(failure)
            case .failure(nil, let failure): throw failure
            case .event(let event): onEvent(event)
            }
        } catch {
            errorCaught(context: context, error: error)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(lost(nil))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(lost(error))
        context.close(promise: nil)
    }

    private func end(_ error: AgentError) {
        guard failure == nil else { return }
        failure = error
        greeting.fail(error)
        let waiting = pending.values
        pending = [:]
        for promise in waiting { promise.fail(error) }
    }

    private func lost(_ cause: (any Error)?) -> AgentError {
        AgentError(
            .unavailable,
            code: "vmm_connection_lost",
            "the connection to the QEMU of instance \(instance) is lost",
            cause: cause
        )
    }
}
