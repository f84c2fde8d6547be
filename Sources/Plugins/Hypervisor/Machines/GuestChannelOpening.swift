import AgentCore
import Synchronization

/// A machine's guest channel, or the one that is being opened: there is one at a time.
final class GuestChannelOpening: Sendable {
    private let channel = Mutex<Task<any GuestChannel, any Error>?>(nil)

    /// Opens a channel; the one before is ended first.
    ///
    /// - Parameter body: Opens it, and reacts to cancellation.
    /// - Returns: The channel that it opened.
    /// - Throws: What it throws.
    func open(
        _ body: @escaping @Sendable () async throws -> any GuestChannel
    ) async throws -> any GuestChannel {
        let opening = channel.withLock { channel in
            let opening = Task { [previous = channel] in
                // In this order: the guest sees the end of one and then the beginning of the next, rather than both at
                // once.
                previous?.cancel()
                if let channel = try? await previous?.value { await channel.close() }
                return try await body()
            }
            channel = opening
            return opening
        }
        return try await withTaskCancellationHandler {
            try await opening.value
        } onCancel: {
            opening.cancel()
        }
    }

    func cancel() {
        channel.withLock { $0?.cancel() }
    }
}
