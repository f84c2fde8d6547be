import NIOCore
import NIOPosix

/// Whether what serves requests is able to: event loops that turn, and threads that are free for files.
public enum EventLoopProbe {
    /// Returns when each has done something.
    public static func check() async throws {
        for loop in MultiThreadedEventLoopGroup.singleton.makeIterator() { try await loop.submit {}.get() }
        try await NIOThreadPool.singleton.runIfActive {}
    }
}
