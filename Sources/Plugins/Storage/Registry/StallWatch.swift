import AsyncHTTPClient
import NIOCore
import Synchronization

/// A transfer of which nearly nothing comes any more.
struct TransferStalled: Error, CustomStringConvertible {
    let bytes: Int
    let time: Duration

    var description: String { "only \(bytes) bytes came in \(time)" }
}

/// Notices a body that comes too slowly, without a bound on how long the whole of it may take.
///
/// Only time in which the other end is waited for counts, not that of a slow disk of ours.
final class StallWatch: Sendable {
    private struct State {
        var bytes = 0
        var waited = Duration.zero
        var waitingSince: ContinuousClock.Instant?
    }

    private let patience: RegistryPatience
    private let state = Mutex(State())

    private init(_ patience: RegistryPatience) { self.patience = patience }

    /// Gives all parts of `body` to `take`, one after the other.
    ///
    /// - Throws: ``TransferStalled``, what breaks the connection, or what `take` throws.
    static func read(
        _ body: HTTPClientResponse.Body,
        _ patience: RegistryPatience,
        _ take: @escaping @Sendable (ByteBuffer) async throws -> Void
    ) async throws {
        let watch = StallWatch(patience)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await watch.watch() }
            group.addTask {
                // Cancelled by the group, it closes the connection.
                var parts = body.makeAsyncIterator()
                while let part = try await watch.waiting({ try await parts.next() }) {
                    watch.state.withLock { $0.bytes += part.readableBytes }
                    try await take(part)
                }
            }
            // Either all has come or something was thrown; the other one is not needed any more.
            _ = try await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    private func waiting(
        _ body: () async throws -> ByteBuffer?
    ) async throws -> ByteBuffer? {
        state.withLock { $0.waitingSince = .now }
        let part = try await body()
        state.withLock { state in
            if let since = state.waitingSince { state.waited += .now - since }
            state.waitingSince = nil
        }
        return part
    }

    private func watch() async throws {
        while true {
            try await Task.sleep(for: patience.stall)
            let (bytes, waited) = state.withLock { state in
                let now = ContinuousClock.now
                let waited = state.waited + (state.waitingSince.map { now - $0 } ?? .zero)
                defer {
                    state.bytes = 0
                    state.waited = .zero
                    if state.waitingSince != nil { state.waitingSince = now }
                }
                return (state.bytes, waited)
            }
            if bytes < patience.stallBytes, waited > patience.stall * 0.9 {
                throw TransferStalled(bytes: bytes, time: patience.stall)
            }
        }
    }
}

extension TimeAmount {
    /// What `Duration` has beyond nanoseconds is dropped.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .seconds(seconds) + .nanoseconds(attoseconds / 1_000_000_000)
    }
}
