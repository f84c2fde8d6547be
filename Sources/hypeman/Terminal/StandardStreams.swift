import Dispatch
import Foundation

/// Blocking reads and writes of the standard streams, on threads of their own: a full pipe or a silent terminal must not
/// hold up the rest of the program.
enum StandardStreams {
    private static let outputQueue = DispatchQueue(label: "hypeman.output")

    /// Writes all bytes to a descriptor.
    ///
    /// - Throws: ``BrokenOutput`` if nobody reads any more.
    static func write(_ bytes: [UInt8], to descriptor: Int32) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            outputQueue.async {
                continuation.resume(with: Result { try writeAll(bytes, to: descriptor) })
            }
        }
    }

    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    // Somebody else made the shared terminal non-blocking.
                    var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&ready, 1, -1)
                } else if errno != EINTR {
                    throw BrokenOutput()
                }
            }
        }
    }
}

/// Reads a descriptor on its own thread; a read can be given up.
final class InputReader: Sendable {
    private let descriptor: Int32
    private let wake: (read: Int32, write: Int32)
    private let queue = DispatchQueue(label: "hypeman.input")

    init(_ descriptor: Int32) throws {
        self.descriptor = descriptor
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw CommandError("cannot make a pipe: \(String(cString: strerror(errno)))") }
        wake = (ends[0], ends[1])
    }

    deinit {
        close(wake.read)
        close(wake.write)
    }

    /// The next bytes; nil at the end of the file, after an error, and when cancelled.
    func read(upTo count: Int) async -> [UInt8]? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async { [self] in continuation.resume(returning: readBlocking(count)) }
            }
        } onCancel: {
            _ = Foundation.write(wake.write, "x", 1)
        }
    }

    private func readBlocking(_ count: Int) -> [UInt8]? {
        while true {
            var events = [
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&events, 2, -1) > 0 else {
                guard errno == EINTR else { return nil }
                continue
            }
            guard events[1].revents == 0 else { return nil }
            var bytes = [UInt8](repeating: 0, count: count)
            let received = Foundation.read(descriptor, &bytes, count)
            if received > 0 { return Array(bytes.prefix(received)) }
            guard received < 0, errno == EINTR || errno == EAGAIN else { return nil }
        }
    }
}
