import AgentCore
import Foundation
import Glibc
import SystemPackage
import Tar

/// A layer that is being received: what is there of it already can be read by other threads, which wait for the rest.
///
/// What is read is not verified yet. It is for work whose result nobody uses before the layer is; ``isIntact`` says then
/// whether what was read is what was verified.
///
/// Safe to share: everything changes under the condition's lock alone.
final class LayerArrival: @unchecked Sendable {
    private enum State {
        case arriving
        /// All of it is there, and verified.
        case complete
        /// What was there is not valid any more, or the rest does not come.
        case broken
    }

    private let size: Int
    private let condition = NSCondition()
    private var descriptor: FileDescriptor?
    /// Bytes that are there.
    private var count = 0
    private var state = State.arriving

    /// - Parameter size: Of the whole layer, in bytes.
    init(size: Int) { self.size = size }

    deinit {
        if let descriptor { close(descriptor.rawValue) }
    }

    // MARK: Receiving

    /// Says where the bytes are; `count` are there already.
    ///
    /// The file is opened at once, and may have another name afterwards.
    func begin(_ path: FilePath, count: Int) throws {
        let opened = try Files.translating("cannot open \(path)") {
            try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        }
        condition.withLock {
            precondition(descriptor == nil, "a layer arrives once")
            descriptor = opened
            self.count = count
            condition.broadcast()
        }
    }

    /// Says that `count` bytes are there by now.
    func advance(to count: Int) {
        condition.withLock {
            self.count = count
            condition.broadcast()
        }
    }

    /// Says that all bytes are there and verified.
    func complete() {
        condition.withLock {
            guard state == .arriving else { return }
            state = .complete
            condition.broadcast()
        }
    }

    /// Says that what was read is not valid any more, or that nothing more comes: from now on whoever reads fails.
    func fail() {
        condition.withLock {
            state = .broken
            condition.broadcast()
        }
    }

    // MARK: Reading

    /// Whether it came completely, and nothing of it was ever taken back.
    var isIntact: Bool { condition.withLock { state == .complete } }

    /// Reads from an offset on, once there is something.
    ///
    /// - Returns: The bytes read; 0 at the end.
    /// - Throws: `CancellationError` if it is broken.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard offset < size else { return 0 }
        let (file, rest) = try condition.withLock {
            while state == .arriving, descriptor == nil || count <= offset { condition.wait() }
            guard state != .broken, let descriptor else { throw CancellationError() }
            return (descriptor, count - offset)
        }
        guard rest > 0 else { return 0 }
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, rest)])
        return try Files.translating("cannot read a layer") {
            try file.read(fromAbsoluteOffset: Int64(offset), into: wanted)
        }
    }
}

extension LayerArrival {
    /// The first bytes, fewer only of a layer that has no more.
    func prefix(_ length: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: length)
        var count = 0
        try bytes.withUnsafeMutableBytes { buffer in
            while count < length {
                let read = try self.read(at: count, into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
                if read == 0 { return }
                count += read
            }
        }
        return Array(bytes[..<count])
    }
}

/// Reads a layer that arrives, from front to back.
final class ArrivingSource: ByteSource {
    private let arrival: LayerArrival
    private let cancellation: Cancellation
    private let progress: ProgressMeter
    private var position = 0

    init(_ arrival: LayerArrival, cancellation: Cancellation, progress: ProgressMeter) {
        self.arrival = arrival
        self.cancellation = cancellation
        self.progress = progress
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try cancellation.check()
        let count = try arrival.read(at: position, into: buffer)
        position += count
        progress.add(count)
        return count
    }
}
