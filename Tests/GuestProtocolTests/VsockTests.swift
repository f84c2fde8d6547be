import AgentCore
import Glibc
import GuestAgent
import GuestProtocol
import HypervisorPlugin
import Logging
import NIOCore
import NIOPosix
import SystemPackage
import Testing

/// The channel over a vsock as Cloud Hypervisor carries it.
///
/// There is `CONNECT` on the host's side, and a listener on the guest's; the socket between them is a unix socket here.
@Suite struct VsockTests {
    @Test func aCommandRunsOverItAndTheNextConnectionEndsTheOneBefore() async throws {
        try await LoopbackGuest.with { guest in
            try await VsockMuxer.with(guest) { muxer in
                func connect() async throws -> any GuestChannel {
                    try await GuestConnection.open(
                        socket: muxer.socket,
                        vsockPort: GuestVsock.port,
                        session: LoopbackGuest.session,
                        on: MultiThreadedEventLoopGroup.singleton,
                        logger: Logger(label: "guest")
                    )
                }
                func echo(_ channel: any GuestChannel) async throws -> [UInt8] {
                    let process = try await channel.exec(
                        ExecRequest(program: GuestProgram(arguments: ["echo", "hello"], environment: []))
                    )
                    var bytes: [UInt8] = []
                    for try await event in process.events {
                        if case .output(_, let part) = event { bytes += part }
                    }
                    return bytes
                }
                let first = try await connect()
                #expect(try await echo(first) == Array("hello\n".utf8))
                let second = try await connect()
                #expect(try await echo(second) == Array("hello\n".utf8))
                await #expect(throws: AgentError.self) {
                    for try await _ in first.events(after: 100) {}
                }
                await second.close()
                #expect(muxer.ports == ["CONNECT 721"])
            }
        }
    }

    @Test func aGuestThatDoesNotListenYetIsAskedAgain() async throws {
        try await LoopbackGuest.with { guest in
            try await VsockMuxer.with(guest, refusals: 2) { muxer in
                let channel = try await GuestConnection.open(
                    socket: muxer.socket,
                    vsockPort: GuestVsock.port,
                    session: LoopbackGuest.session,
                    on: MultiThreadedEventLoopGroup.singleton,
                    logger: Logger(label: "guest")
                )
                #expect(channel.hello.protocolVersion == GuestProtocolVersion.current)
                await channel.close()
            }
        }
    }

    @Test func connectionsOfOthersThanTheHostAreClosed() async throws {
        try await LoopbackGuest.with { guest in
            try await VsockMuxer.with(guest, isHost: false) { muxer in
                let connection = Task {
                    try await GuestConnection.open(
                        socket: muxer.socket,
                        vsockPort: GuestVsock.port,
                        session: LoopbackGuest.session,
                        on: MultiThreadedEventLoopGroup.singleton,
                        logger: Logger(label: "guest")
                    )
                }
                try await muxer.untilClosed(times: 2)
                connection.cancel()
                let error = await #expect(throws: AgentError.self) { try await connection.value }
                #expect(error?.kind == .cancelled)
            }
        }
    }
}
