public import AgentCore
import GuestProtocol
import GuestTransport
public import Logging
public import NIOCore
import NIOHTTP2
import NIOPosix
public import SystemPackage

/// The host's end of the channel to hypeman-init.
public enum GuestConnection {
    /// From the answer to a ping to the next one.
    private static let pingInterval = TimeAmount.seconds(5)
    /// An emulated guest under load may be slow; one that is gone never answers.
    private static let pingPatience = TimeAmount.seconds(20)

    /// Connects to the VMM's end of the channel and completes the handshake with hypeman-init.
    ///
    /// Waits until the guest answers, however long its boot takes; the caller sets the deadline by cancelling.
    ///
    /// - Parameters:
    ///   - socket: The unix socket of the VMM's character device, or of its vsock.
    ///   - vsockPort: The guest's port if it is a vsock.
    ///   - session: The guest's session secret, as in `GuestConfiguration.session`.
    ///   - group: Where the connection's event loop comes from.
    ///   - logger: For what goes wrong on the connection.
    /// - Returns: The channel, its handshake done.
    /// - Throws: ``AgentError`` `versionMismatch` if the guest's protocol is not understood, `unavailable` if there
    ///   is nobody at the socket, `cancelled`. A connection that is lost before the guest answered is made again.
    public static func open(
        socket: FilePath,
        vsockPort: UInt32? = nil,
        session: String,
        on group: any EventLoopGroup,
        logger: Logger
    ) async throws -> any GuestChannel {
        guard SessionMarker.isValid(secret: session) else {
            throw AgentError(.invalidArgument, "the guest's session secret is not 32 hexadecimal digits")
        }
        while true {
            do {
                return try await attempt(
                    socket: socket,
                    vsockPort: vsockPort,
                    session: session,
                    on: group.any(),
                    logger: logger
                )
            } catch let error as LostBeforeHello {
                // Taken for answered and lost again: by a guest that reboots, or a VMM that is about to go, in which case
                // the next attempt finds no socket.
                logger.debug("the guest was lost before it said hello", metadata: ["error": "\(error.cause)"])
                try await pause()
            }
        }
    }

    /// A connection that was there, and ended before it was of use.
    private struct LostBeforeHello: Error {
        var cause: any Error
    }

    private static func pause() async throws {
        do {
            try await Task.sleep(for: .milliseconds(100))
        } catch {
            throw AgentError(.cancelled, "gave up waiting for the guest to answer")
        }
    }

    private static func attempt(
        socket: FilePath,
        vsockPort: UInt32?,
        session: String,
        on eventLoop: any EventLoop,
        logger: Logger
    ) async throws -> any GuestChannel {
        let ready = eventLoop.makePromise(of: NIOHTTP2Handler.StreamMultiplexer.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let greeting = SessionGreetingHandler(secret: session) { channel in
                            ready.succeed(try startHTTP2(on: channel, logger: logger))
                        }
                        if let vsockPort {
                            try channel.pipeline.syncOperations.addHandler(VsockGreetingHandler(port: vsockPort))
                        }
                        try channel.pipeline.syncOperations.addHandler(greeting)
                    }
                }
                .connect(unixDomainSocketPath: socket.string).get()
        } catch {
            ready.fail(error)
            throw AgentError(.unavailable, "cannot connect to the guest's channel at \(socket)", cause: error)
        }
        channel.closeFuture.whenComplete { _ in
            ready.fail(AgentError(.unavailable, "the guest's channel was closed before the guest answered"))
        }
        return try await withTaskCancellationHandler {
            do {
                let multiplexer = try await ready.futureResult.get()
                return try await greet(GuestRequests(channel: channel, multiplexer: multiplexer))
            } catch {
                channel.close(promise: nil)
                if Task.isCancelled { throw AgentError(.cancelled, "gave up waiting for the guest to answer") }
                if let error = error as? AgentError, error.kind != .unavailable { throw error }
                throw LostBeforeHello(cause: error)
            }
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    private static func greet(_ requests: GuestRequests) async throws -> any GuestChannel {
        let hello: GuestHello
        do {
            hello = try GuestJSON.decode(GuestHello.self, from: try await requests.call(.hello))
        } catch let error as AgentError {
            throw error
        } catch {
            throw AgentError(.versionMismatch, "the guest's greeting cannot be read", cause: error)
        }
        guard (GuestProtocolVersion.oldest...GuestProtocolVersion.current).contains(hello.protocolVersion) else {
            throw AgentError(
                .versionMismatch,
                """
                the guest speaks version \(hello.protocolVersion) of the protocol; versions \
                \(GuestProtocolVersion.oldest) to \(GuestProtocolVersion.current) are understood
                """
            )
        }
        return GuestSession(requests: requests, hello: hello)
    }

    private static func startHTTP2(on channel: any Channel, logger: Logger) throws -> NIOHTTP2Handler.StreamMultiplexer
    {
        let handler = NIOHTTP2Handler(
            mode: .client,
            eventLoop: channel.eventLoop,
            connectionConfiguration: GuestHTTP2.connection,
            streamConfiguration: GuestHTTP2.stream
        ) { stream in
            // A server opens streams by pushing only, which was not allowed to it.
            stream.close()
        }
        try channel.pipeline.syncOperations.addHandlers([
            handler,
            LivenessHandler(interval: pingInterval, patience: pingPatience) { took in
                // The benchmark of exec takes the channel's part from here.
                logger.trace("guest answered a ping", metadata: ["microseconds": "\(took.nanoseconds / 1000)"])
            },
            ConnectionErrors(logger: logger),
        ])
        return try handler.syncMultiplexer()
    }
}

/// Ends a connection on which something went wrong, and keeps what it was for the log.
private final class ConnectionErrors: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A fault of one stream is that stream's own affair.
        if error is NIOHTTP2Errors.StreamError { return }
        logger.debug("the connection to the guest failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }
}
