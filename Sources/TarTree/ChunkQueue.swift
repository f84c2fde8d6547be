import Glibc
public import Tar

/// Bytes on their way between a thread that may block and something that may not: bounded, and ended by either side.
///
/// Used by one producer and one consumer, either of which may be the thread.
public final class ChunkQueue: @unchecked Sendable {  // Every property is touched under `mutex` only.
    /// Why the other side takes or gives nothing any more.
    public struct Cancelled: Error, Sendable, CustomStringConvertible {
        public var description: String { "the copy was cancelled" }
    }

    /// What there is for a consumer that does not block.
    public enum Poll: Sendable {
        case chunk([UInt8])
        /// ``onChange`` will say when there is more.
        case empty
        case finished
    }

    private let limit: Int
    /// Told that there is something to poll, or room again.
    private let onChange: @Sendable () -> Void
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var chunks: [[UInt8]] = []
    private var next = 0
    private var count = 0
    private var isFinished = false
    private var isCancelled = false

    /// Makes an empty queue.
    ///
    /// - Parameters:
    ///   - limit: Bytes that may wait.
    ///   - onChange: Called when the thread that blocks has put or taken something, and at the end; without a lock held.
    public init(limit: Int = 512 << 10, onChange: @escaping @Sendable () -> Void) {
        self.limit = limit
        self.onChange = onChange
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    // MARK: The side that must not block

    /// Gives bytes whatever there is; the caller holds back while there is no room.
    ///
    /// - Returns: Whether there is room for more.
    public func offer(_ bytes: [UInt8]) -> Bool {
        locked {
            guard !isCancelled else { return true }
            append(bytes)
            return count < limit
        }
    }

    /// Whether there is room for more.
    public var hasRoom: Bool { locked { isCancelled || count < limit } }

    /// Takes what is there.
    public func poll() -> Poll {
        locked {
            if let chunk = popFirst() { return .chunk(chunk) }
            return isFinished || isCancelled ? .finished : .empty
        }
    }

    /// Nothing follows.
    public func finish() {
        locked {
            isFinished = true
            pthread_cond_broadcast(changed)
        }
        onChange()
    }

    /// Ends it for both sides; what was not taken is lost.
    public func cancel() {
        locked {
            isCancelled = true
            chunks = []
            (next, count) = (0, 0)
            pthread_cond_broadcast(changed)
        }
        onChange()
    }

    // MARK: The side that may block

    /// Gives bytes once there is room for them.
    ///
    /// - Throws: ``Cancelled``.
    public func put(_ bytes: [UInt8]) throws {
        try locked {
            while count >= limit, !isCancelled { pthread_cond_wait(changed, mutex) }
            guard !isCancelled else { throw Cancelled() }
            append(bytes)
        }
        onChange()
    }

    /// The next bytes, nil at the end.
    ///
    /// - Throws: ``Cancelled``.
    public func take() throws -> [UInt8]? {
        let chunk: [UInt8]? = try locked {
            while next == chunks.count, !isFinished, !isCancelled { pthread_cond_wait(changed, mutex) }
            guard !isCancelled else { throw Cancelled() }
            return popFirst()
        }
        if chunk != nil { onChange() }
        return chunk
    }

    private func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        chunks.append(bytes)
        count += bytes.count
        pthread_cond_broadcast(changed)
    }

    private func popFirst() -> [UInt8]? {
        guard next < chunks.count else { return nil }
        let chunk = chunks[next]
        chunks[next] = []
        next += 1
        count -= chunk.count
        if next == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            next = 0
        }
        pthread_cond_broadcast(changed)
        return chunk
    }

    private func locked<Value>(_ body: () throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }
}

/// What comes out of a queue, for the thread that reads an archive.
public final class QueueSource: ChunkSource {
    private let queue: ChunkQueue
    private var chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 16)

    public init(_ queue: ChunkQueue) { self.queue = queue }

    deinit { chunk.deallocate() }

    public func nextChunk() throws -> UnsafeRawBufferPointer {
        guard let bytes = try queue.take() else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        if bytes.count > chunk.count {
            chunk.deallocate()
            chunk = .allocate(byteCount: bytes.count, alignment: 16)
        }
        chunk.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(rebasing: chunk[..<bytes.count])
    }
}
