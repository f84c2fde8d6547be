import AgentCore
import CInit
import Foundation
import Glibc
import GuestAgent
import GuestProtocol
import GuestTransport
import HypervisorPlugin
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import SystemPackage

/// hypeman-init's agent in this process, behind a virtio-serial port of its own: a unix socket that hosts connect to, one
/// after the other, and one unbroken stream of bytes on the guest's side, as QEMU makes it.
final class LoopbackGuest: Sendable {
    static let session = "0123456789abcdef0123456789abcdef"

    let agent: GuestAgent
    let socket: FilePath
    /// What it was told after a standstill.
    let news = NIOLockedValueBox<(time: Int, seed: [UInt8])>((0, []))
    /// What it was told of its network, when it became another one.
    let networks = NIOLockedValueBox<[(GuestConfiguration.Network, formerMACs: [String])]>([])
    let hostnames = NIOLockedValueBox<[String]>([])
    /// How often it would have ended itself.
    let powerOffs = NIOLockedValueBox(0)
    /// Where its files are, as far as it writes any.
    var root: FilePath { directory }
    private let directory: FilePath
    private let group: MultiThreadedEventLoopGroup
    private let port: VirtualPort
    private let reaper: Reaper

    /// Runs `body` with a guest and ends it afterwards.
    static func with<Value: Sendable>(
        program: [String] = ["sleep", "1000"],
        mode: GuestConfiguration.Mode = .exec,
        terminal: Bool = false,
        openStandardInput: Bool = false,
        outputBufferSize: Int = 1 << 20,
        acceptsCommands: Bool = true,
        network: GuestConfiguration.Network? = nil,
        _ body: (LoopbackGuest) async throws -> Value
    ) async throws -> Value {
        let configuration = GuestConfiguration(
            protocolVersion: 1,
            instance: "test",
            hostname: "guest",
            session: LoopbackGuest.session,
            mode: mode,
            program: GuestProgram(arguments: program, environment: ["BASE=1"]),
            terminal: terminal,
            openStandardInput: openStandardInput,
            rootDisk: "rootfs",
            overlayDisk: "overlay",
            network: network,
            outputBufferSize: outputBufferSize
        )
        let guest = try await LoopbackGuest(configuration)
        if acceptsCommands { guest.agent.acceptCommands() }
        do {
            let value = try await body(guest)
            try await guest.end()
            return value
        } catch {
            try await guest.end()
            throw error
        }
    }

    private init(_ configuration: GuestConfiguration) async throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        var template = Array("/tmp/hypeman-guest-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        directory = FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
        socket = directory.appending("channel.sock")
        let reaper = Reaper(eventLoop: group.next())
        let (news, networks, hostnames, powerOffs) = (news, networks, hostnames, powerOffs)
        let agent = GuestAgent(
            configuration: configuration,
            eventLoop: group.next(),
            // This process has no kernel of its own: the test's host keeps its clock.
            awakening: Awakening(
                setTime: { time in
                    news.withLockedValue { $0.time = time }
                    return 0
                },
                seed: { bytes in
                    news.withLockedValue { $0.seed = bytes }
                    return 0
                }
            ),
            renaming: Renaming(
                root: directory.string,
                setHostname: { name in
                    hostnames.withLockedValue { $0.append(name) }
                    return 0
                },
                setNetwork: { network, formerMACs in
                    networks.withLockedValue { $0.append((network, formerMACs)) }
                    return network.gateway == "10.0.0.254" ? "cannot set the default route" : nil
                }
            ),
            powerOff: { powerOffs.withLockedValue { $0 += 1 } }
        ) { pid in reaper.watch(pid) }
        reaper.report(to: agent)
        self.agent = agent
        self.reaper = reaper

        var ours: Int32 = -1
        var theirs: Int32 = -1
        guard hypeman_socket_pair(&ours, &theirs) == 0 else { throw Errno(rawValue: errno) }
        PortPump(
            port: theirs,
            secret: LoopbackGuest.session,
            endsWithPort: true,
            onSession: { agent.serve($0) }
        ).start()
        port = try await VirtualPort(path: socket, guest: ours, on: group.next())
    }

    /// The host's end, connected.
    func connect(socket: FilePath? = nil, session: String = LoopbackGuest.session) async throws -> any GuestChannel {
        try await GuestConnection.open(
            socket: socket ?? self.socket,
            session: session,
            on: group,
            logger: Logger(label: "guest")
        )
    }

    /// Bytes that reach the guest without a host's doing, in the midst of whatever is on its way.
    func inject(_ bytes: [UInt8]) async throws {
        try await port.inject(bytes)
    }

    private func end() async throws {
        try await reaper.end()
        try await port.close()
        try await group.shutdownGracefully()
        try FileManager.default.removeItem(atPath: directory.string)
    }
}

/// Waits for each child by its own number: a test's process has other children, whose ends are others' to hear of.
private final class Reaper: Sendable {
    private let threads = NIOThreadPool(numberOfThreads: 64)
    private let eventLoop: any EventLoop
    private let agent = NIOLockedValueBox<GuestAgent?>(nil)
    private let running = NIOLockedValueBox<[Int32: EventLoopFuture<Void>]>([:])

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        threads.start()
    }

    func report(to agent: GuestAgent) {
        self.agent.withLockedValue { $0 = agent }
    }

    func watch(_ pid: Int32) {
        let ended = eventLoop.makePromise(of: Void.self)
        running.withLockedValue { $0[pid] = ended.futureResult }
        threads.submit { [self] _ in
            var information = siginfo_t()
            while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            // While the child is a zombie its number is nobody else's.
            _ = running.withLockedValue { $0.removeValue(forKey: pid) }
            var status: Int32 = 0
            waitpid(pid, &status, 0)
            agent.withLockedValue { $0 }?.childEnded(pid, status: status)
            ended.succeed(())
        }
    }

    /// Kills what still runs, and returns when all of it has been reported.
    func end() async throws {
        for (pid, end) in running.withLockedValue({ $0 }) {
            kill(pid, SIGKILL)
            try await end.get()
        }
        try await threads.shutdownGracefully()
    }
}

/// What QEMU's character device does: passes bytes between the one host that is connected and the guest's stream.
private final class VirtualPort: Sendable {
    private let server: any Channel
    private let guest: any Channel

    init(path: FilePath, guest descriptor: Int32, on eventLoop: any EventLoop) async throws {
        let relay = try await eventLoop.submit { NIOLoopBound(GuestSide(), eventLoop: eventLoop) }.get()
        guest = try await ClientBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(relay.value) }
            }
            .withConnectedSocket(descriptor).get()
        let guest = guest
        server = try await ServerBootstrap(group: eventLoop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    relay.value.host = channel
                    try channel.pipeline.syncOperations.addHandler(HostSide(guest: guest))
                }
            }
            .bind(unixDomainSocketPath: path.string).get()
    }

    func inject(_ bytes: [UInt8]) async throws {
        try await guest.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    func close() async throws {
        try await server.close().get()
        try await guest.close().get()
    }

    private final class GuestSide: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var host: (any Channel)?

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            // Without a host the bytes are gone, as QEMU's are.
            host?.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }
    }

    private final class HostSide: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let guest: any Channel

        init(guest: any Channel) { self.guest = guest }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guest.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }
    }
}
