/// A ``ChunkQueue`` whose side that must not block is a task's.
public struct AsyncChunkQueue: Sendable {
    /// For the thread.
    public let queue: ChunkQueue
    private let changes: AsyncStream<Void>

    public init() {
        let (changes, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.changes = changes
        queue = ChunkQueue { continuation.yield() }
    }

    /// Gives bytes, and returns when there is room for more, or nobody wants any.
    ///
    /// - Throws: `CancellationError`, and the queue is cancelled with the task.
    public func send(_ bytes: [UInt8]) async throws {
        var hasRoom = queue.offer(bytes)
        while !hasRoom {
            try await change()
            hasRoom = queue.hasRoom
        }
    }

    /// The next bytes; nil at the end, and once the queue was cancelled.
    ///
    /// - Throws: `CancellationError`, and the queue is cancelled with the task.
    public func next() async throws -> [UInt8]? {
        while true {
            switch queue.poll() {
            case .chunk(let bytes): return bytes
            case .finished: return nil
            case .empty: try await change()
            }
        }
    }

    private func change() async throws {
        var iterator = changes.makeAsyncIterator()
        _ = await iterator.next()
        guard Task.isCancelled else { return }
        queue.cancel()
        throw CancellationError()
    }
}

extension TreeThread {
    /// Runs `body` on a new thread and waits for it without taking one of the tasks'.
    ///
    /// It cannot be cancelled but by what it waits for.
    public static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            do {
                try start { continuation.resume(with: Result { try body() }) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}
