import AgentCore
import DBus
import Glibc
import NIOCore
import NIOPosix

/// One end of a pipe or a socket that the agent writes to; the other is a caller's.
///
/// A write is awaited until the kernel has taken it, so a caller that does not read holds up what it reads from and nothing
/// else, and nothing is collected for it.
struct OutputEnd: Sendable {
    /// What is written at a time.
    private static let chunk = 64 << 10

    let channel: any Channel

    /// - Throws: If the caller has closed its end, or this one was closed here.
    func write(_ bytes: [UInt8]) async throws {
        for start in Swift.stride(from: 0, to: bytes.count, by: Self.chunk) {
            let piece = bytes[start..<min(start + Self.chunk, bytes.count)]
            try await channel.writeAndFlush(ByteBuffer(bytes: piece)).get()
        }
    }

    /// Closes it; a write that waits fails.
    ///
    /// Idempotent.
    func close() { channel.close(promise: nil) }

    /// Calls `action` once it is closed, by whomever.
    func whenClosed(_ action: @escaping @Sendable () -> Void) { channel.closeFuture.whenComplete { _ in action() } }
}

/// Pipes and sockets between the agent and a caller.
enum Pipes {
    private static var group: MultiThreadedEventLoopGroup { .singleton }

    /// A pipe that the agent writes to.
    static func output() async throws -> (OutputEnd, UnixDescriptor) {
        let (reader, writer) = try pipe()
        let theirs = UnixDescriptor(owning: reader)
        do {
            let channel = try await NIOPipeBootstrap(group: group).takingOwnershipOfDescriptor(output: writer).get()
            return (OutputEnd(channel: channel), theirs)
        } catch {
            close(writer)
            throw error
        }
    }

    /// A pipe that the agent reads.
    static func input() async throws -> (NIOAsyncChannel<ByteBuffer, ByteBuffer>, UnixDescriptor) {
        let (reader, writer) = try pipe()
        let theirs = UnixDescriptor(owning: writer)
        return (try await reading(reader), theirs)
    }

    /// Reads a pipe's or socket's end, which is closed here, also on failure.
    static func reading(_ descriptor: Int32) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        do {
            return try await NIOPipeBootstrap(group: group).takingOwnershipOfDescriptor(input: descriptor) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// A pair of connected sockets, for both directions.
    static func socket() async throws -> (NIOAsyncChannel<ByteBuffer, ByteBuffer>, UnixDescriptor) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw tooMany(errno)
        }
        let theirs = UnixDescriptor(owning: ends[1])
        do {
            let channel = try await ClientBootstrap(group: group)
                // A caller that has no more to say still listens.
                .channelOption(.allowRemoteHalfClosure, value: true)
                .withConnectedSocket(ends[0]) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
            return (channel, theirs)
        } catch {
            close(ends[0])
            throw error
        }
    }

    private static func pipe() throws -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [-1, -1]
        // Glibc's module leaves pipe2 out; what the agent executes meanwhile is given no descriptor but its own anyhow.
        guard Glibc.pipe(&ends) == 0 else { throw tooMany(errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func tooMany(_ code: Int32) -> AgentError {
        AgentError(.quotaExceeded, "no descriptors for a stream: \(String(cString: strerror(code)))")
    }
}
