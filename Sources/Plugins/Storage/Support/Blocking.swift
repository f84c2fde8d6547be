import Foundation
import NIOPosix

/// Where blocking work runs, so that it never takes a thread of the cooperative pool, which has one per core.
enum Blocking {
    /// Runs short file work (milliseconds) on NIO's pool of threads for blocking calls.
    static func short<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await NIOThreadPool.singleton.runIfActive(body)
    }

    /// Runs short file work that has to be done also in a task that was cancelled.
    static func regardless<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await Task { try await short(body) }.value
    }

    /// Runs work of any length on a thread of its own.
    ///
    /// Cancelling the task sets the `Cancellation` that `body` has to look at; this returns only when `body` has.
    static func long<T: Sendable>(
        _ name: String,
        _ body: @escaping @Sendable (Cancellation) throws -> T
    ) async throws -> T {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let thread = Thread {
                    continuation.resume(with: Result { try body(cancellation) })
                }
                thread.name = name
                // Trees are walked recursively, up to `ImageLimits.maximumDepth` directories deep.
                thread.stackSize = 16 << 20
                thread.start()
            }
        } onCancel: {
            cancellation.cancel()
        }
    }
}
