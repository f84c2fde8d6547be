import AgentCore
import HummingbirdCore
import Logging
import NIOCore
import NIOExtras
import NIOPosix
import ServiceLifecycle

/// Serves an ``InheritedSocket``: what Hummingbird's server does for an address that it binds itself.
///
/// At the end it closes its own descriptor; whoever passed the socket still has theirs, and new connections wait there.
struct InheritedListener<Child: ServerChildChannel>: Service {
    let socket: InheritedSocket
    let child: Child
    /// Connections that are served at a time; more wait in the kernel's queue.
    let maximumConnections: Int
    let onRunning: @Sendable () async -> Void
    let group: any EventLoopGroup
    let logger: Logger

    func run() async throws {
        let quiescing = ServerQuiescingHelper(group: group)
        let server = try await ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        quiescing.makeServerChannelHandler(channel: channel)
                    )
                }
            }
            .childChannelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .bind(socket.descriptor) { channel in child.setup(channel: channel, logger: logger) }
        await withGracefulShutdownHandler {
            await onRunning()
            await serve(server)
        } onGracefulShutdown: {
            quiescing.initiateShutdown(promise: nil)
        }
    }

    private func serve(_ server: NIOAsyncChannel<Child.Value, Never>) async {
        let turns = FairSemaphore(width: maximumConnections)
        await withDiscardingTaskGroup { group in
            do {
                try await server.executeThenClose { connections in
                    for try await connection in connections {
                        // The next one is not taken from the kernel before this one is being served.
                        let begun = OneShot<Void>()
                        group.addTask {
                            do {
                                try await turns.withTurn {
                                    begun.fulfil(())
                                    await child.handle(value: connection, logger: logger)
                                }
                            } catch {
                                // Cancelled before it was its turn.
                                connection.channel.close(promise: nil)
                                begun.fulfil(())
                            }
                        }
                        try await begun.wait()
                    }
                }
            } catch {
                logger.error("the socket is not served any more", metadata: ["error": "\(error)"])
            }
        }
    }
}
