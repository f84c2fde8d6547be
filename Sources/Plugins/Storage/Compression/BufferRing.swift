import AgentCore
import Foundation
import Tar

/// Bytes that one thread makes and several read, each all of them, in buffers that go round: nothing is copied, and
/// whoever is ahead waits for the slowest.
///
/// Safe to share: counters change under the condition's lock alone, and a buffer belongs to the writer until it is
/// published, and to readers, who don't change it, until the last one has let go of it.
final class BufferRing: @unchecked Sendable {
    private let condition = NSCondition()
    private let buffers: [UnsafeMutableRawBufferPointer]
    private var counts: [Int]
    /// How many buffers were published since the start.
    private var published = 0
    /// How many each reader has let go of.
    private var released: [Int]
    /// Whether a reader has one.
    private var isHeld: [Bool]
    /// Set at the end: whether it is the end of the bytes, or something went wrong after them.
    private var end: Result<Void, any Error>?
    private var isCancelled = false

    /// - Parameters:
    ///   - readers: How many there will be; every one has to read, or the writer waits.
    ///   - count: Of buffers.
    ///   - size: Of each, in bytes.
    init(readers: Int, count: Int = 8, size: Int = 256 << 10) {
        buffers = (0..<count).map { _ in .allocate(byteCount: size, alignment: 4096) }
        counts = Array(repeating: 0, count: count)
        released = Array(repeating: 0, count: readers)
        isHeld = Array(repeating: false, count: readers)
    }

    deinit { for buffer in buffers { buffer.deallocate() } }

    // MARK: Writing

    /// Publishes everything that a source gives, its failure too; returns at its end, or when all was cancelled.
    func fill(from makeSource: () throws -> any ByteSource) {
        do {
            let source = try makeSource()
            while let buffer = vacantBuffer() {
                var count = 0
                while count < buffer.count {
                    let read = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
                    if read == 0 { break }
                    count += read
                }
                if count > 0 { publish(count) }
                if count < buffer.count { return finish(.success(())) }
            }
        } catch {
            finish(.failure(error))
        }
    }

    private func vacantBuffer() -> UnsafeMutableRawBufferPointer? {
        condition.withLock {
            while !isCancelled, published - (released.min() ?? 0) == buffers.count { condition.wait() }
            return isCancelled ? nil : buffers[published % buffers.count]
        }
    }

    private func publish(_ count: Int) {
        condition.withLock {
            counts[published % buffers.count] = count
            published += 1
            condition.broadcast()
        }
    }

    private func finish(_ end: Result<Void, any Error>) {
        condition.withLock {
            self.end = end
            condition.broadcast()
        }
    }

    // MARK: Reading

    /// The next bytes for a reader, valid until it asks again; empty at the end.
    ///
    /// - Throws: What the source threw, behind all that it gave before; `CancellationError` after ``cancel()``.
    func next(_ reader: Int) throws -> UnsafeRawBufferPointer {
        try condition.withLock {
            if isHeld[reader] {
                isHeld[reader] = false
                released[reader] += 1
                condition.broadcast()
            }
            while !isCancelled, end == nil, released[reader] == published { condition.wait() }
            if isCancelled { throw CancellationError() }
            guard released[reader] < published else {
                try end?.get()
                return UnsafeRawBufferPointer(start: nil, count: 0)
            }
            isHeld[reader] = true
            let index = released[reader] % buffers.count
            return UnsafeRawBufferPointer(rebasing: buffers[index][..<counts[index]])
        }
    }

    /// Lets nobody wait any longer: the writer stops, readers fail.
    func cancel() {
        condition.withLock {
            isCancelled = true
            condition.broadcast()
        }
    }
}
