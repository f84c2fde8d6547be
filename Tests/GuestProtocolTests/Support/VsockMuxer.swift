import Glibc
import GuestAgent
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import SystemPackage

/// What a VMM does for its guest's vsock: takes `CONNECT <port>` on a unix socket, and carries bytes between it and a
/// connection to the guest's listener, which is a unix socket as well.
final class VsockMuxer: Sendable {
    private struct State {
        var refusals: Int
        var closed = 0
        var ports: Set<String> = []
        var waiting: [(times: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    let socket: FilePath
    private let guest: FilePath
    private let state: NIOLockedValueBox<State>

    /// What was asked for.
    var ports: Set<String> { state.withLockedValue { $0.ports } }

    static func with(
        _ guest: LoopbackGuest,
        refusals: Int = 0,
        isHost: Bool = true,
        _ body: (VsockMuxer) async throws -> Void
    ) async throws {
        let directory = guest.socket.removingLastComponent()
        let muxer = VsockMuxer(
            socket: directory.appending("vsock.sock"),
            guest: directory.appending("vsock-guest.sock"),
            refusals: refusals
        )
        let listener = try listen(muxer.guest)
        let agent = guest.agent
        VsockListener(
            listener: listener,
            secret: LoopbackGuest.session,
            isHost: { _ in isHost },
            onSession: { agent.serve($0) }
        ).start()
        let server = try await muxer.serve()
        let result: Result<Void, any Error>
        do { result = .success(try await body(muxer)) } catch { result = .failure(error) }
        try await server.close().get()
        // Ends the listener's accept(2), and with it its thread.
        shutdown(listener, Int32(SHUT_RDWR))
        for path in [muxer.socket, muxer.guest] { unlink(path.string) }
        try result.get()
    }

    private init(socket: FilePath, guest: FilePath, refusals: Int) {
        self.socket = socket
        self.guest = guest
        state = NIOLockedValueBox(State(refusals: refusals))
    }

    /// Returns when so many connections were closed.
    func untilClosed(times: Int) async throws {
        await withCheckedContinuation { continuation in
            let isOver = state.withLockedValue { state in
                guard state.closed < times else { return true }
                state.waiting.append((times, continuation))
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    private static func listen(_ path: FilePath) throws -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, Glibc.listen(descriptor, 4) == 0 else { throw Errno(rawValue: errno) }
        return descriptor
    }

    private func serve() async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.closeFuture.whenComplete { _ in self.noteClosed() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RequestHandler(self))
                }
            }
            .bind(unixDomainSocketPath: socket.string).get()
    }

    private func noteClosed() {
        let ready = state.withLockedValue { state in
            state.closed += 1
            let ready = state.waiting.filter { $0.times <= state.closed }
            state.waiting.removeAll { $0.times <= state.closed }
            return ready
        }
        for (_, continuation) in ready { continuation.resume() }
    }

    /// Whether a request is to be taken.
    private func take(_ request: String) -> Bool {
        state.withLockedValue { state in
            state.ports.insert(request)
            guard state.refusals > 0 else { return true }
            state.refusals -= 1
            return false
        }
    }

    private final class RequestHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let muxer: VsockMuxer
        private var request = ""
        private var peer: (any Channel)?
        private var early = ByteBuffer()

        init(_ muxer: VsockMuxer) { self.muxer = muxer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var buffer = unwrapInboundIn(data)
            if let peer { return peer.writeAndFlush(buffer, promise: nil) }
            guard !request.hasSuffix("\n") else {
                early.writeBuffer(&buffer)
                return
            }
            while !request.hasSuffix("\n"), let text = buffer.readString(length: 1) { request += text }
            guard request.hasSuffix("\n") else { return }
            early.writeBuffer(&buffer)
            guard muxer.take(String(request.dropLast())) else {
                context.close(promise: nil)
                return
            }
            let host = context.channel
            let this = NIOLoopBound(self, eventLoop: context.eventLoop)
            ClientBootstrap(group: context.eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        host.writeAndFlush(ByteBuffer(string: "OK 1073741824\n"), promise: nil)
                        try channel.pipeline.syncOperations.addHandler(AnswerHandler(host))
                    }
                }
                .connect(unixDomainSocketPath: muxer.guest.string)
                .whenComplete { result in
                    guard case .success(let channel) = result else { return host.close(promise: nil) }
                    this.value.peer = channel
                    if this.value.early.readableBytes > 0 { channel.writeAndFlush(this.value.early, promise: nil) }
                }
        }

        func channelInactive(context: ChannelHandlerContext) { peer?.close(promise: nil) }
    }

    private final class AnswerHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let host: any Channel

        init(_ host: any Channel) { self.host = host }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            host.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { host.close(promise: nil) }
    }
}
