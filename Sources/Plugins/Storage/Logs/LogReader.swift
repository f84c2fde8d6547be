import AgentCore
import DequeModule
import Glibc
import GuestProtocol
import Synchronization
import SystemPackage

/// Reads one log at its consumer's pace, a chunk at a time, and waits for more if it follows.
///
/// The lock is there for the compiler's sake and never contended: one consumer asks for one line after the other.
final class LogReader: Sendable {
    private enum Step {
        case lines
        case finished
        case waiting(version: UInt64)
    }

    private struct State {
        var file: FileDescriptor?
        var generation = 0
        var offset = 0
        /// Where it ends, if that is known: a program may write as fast as this reads.
        var end: LogPlace?
        var assembler = LogLineAssembler()
        var lines: Deque<LogLine> = []
        /// Why it could not begin.
        var failure: (any Error)?
    }

    private static let chunkSize = 64 << 10

    private let writer: LogWriter
    private let tail: Int?
    private let follows: Bool
    private let state = Mutex(State())
    /// Whether nothing more is to be waited for.
    private let isOver = OneShot<Void>()
    private let watch: Task<Void, Never>?

    init(_ writer: LogWriter, tail: Int?, follow: LogFollowing) {
        self.writer = writer
        self.tail = tail
        switch follow {
        case .none:
            follows = false
            watch = nil
        case .untilRemoved:
            follows = true
            watch = nil
        case .until(let end):
            follows = true
            let (isOver, signal) = (isOver, writer.signal)
            watch = Task {
                await end()
                isOver.fulfil(())
                signal.notify()
            }
        }
    }

    deinit {
        watch?.cancel()
        state.withLock { if let file = $0.file { close(file.rawValue) } }
    }

    /// Finds the place to begin at.
    func begin() async {
        do {
            try await Blocking.short { [self] in try state.withLock { state in try start(&state) } }
        } catch {
            // For the reader, who asks for the first line.
            state.withLock { $0.failure = error }
        }
    }

    /// The next line; nil at the end, or when the task is cancelled.
    func next() async throws -> LogLine? {
        while !Task.isCancelled {
            if let line = state.withLock({ $0.lines.popFirst() }) { return line }
            let step: Step
            do {
                step = try await Blocking.short { [self] in try advance() }
            } catch is CancellationError {
                return nil
            }
            switch step {
            case .lines: break
            case .finished: return nil
            case .waiting(let version): await writer.signal.wait(after: version)
            }
        }
        return nil
    }

    private func advance() throws -> Step {
        do {
            return try step()
        } catch {
            // Removed under the reader's eyes.
            if writer.signal.isClosed { return .finished }
            throw error
        }
    }

    private func step() throws -> Step {
        // Both before looking at the log, so that what comes in between is seen to have come.
        let version = writer.signal.version
        let isOver = isOver.value != nil
        if writer.signal.isClosed { return .finished }
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            let extent = try writer.extent()
            if isOver, state.end == nil { state.end = extent.end }
            let last = state.end ?? extent.end
            if state.file == nil { try openNext(&state, upTo: last, oldest: extent.oldest) }
            if let file = state.file {
                let isLast = state.generation == last.generation
                let length = isLast ? last.offset : Int(try file.seek(offset: 0, from: .end))
                if state.offset < length {
                    try read(file, upTo: length, &state)
                    return .lines
                }
                if state.generation < last.generation {
                    close(file.rawValue)
                    state.file = nil
                    state.generation += 1
                    state.offset = 0
                    return .lines
                }
            }
            let rest = state.assembler.unfinished()
            state.lines.append(contentsOf: rest)
            if !rest.isEmpty { return .lines }
            return state.end == nil ? .waiting(version: version) : .finished
        }
    }

    private func start(_ state: inout State) throws {
        guard try follows || writer.isThere() else {
            throw AgentError(.notFound, code: "log_not_found", "nothing was written to this log yet")
        }
        let extent = try writer.extent()
        if !follows { state.end = extent.end }
        if let tail {
            let finder = LogTail(writer, lines: tail)
            let start = try follows && tail == 0 ? finder.findUnfinished(extent) : finder.find(extent)
            (state.generation, state.offset) = (start.generation, start.offset)
            state.assembler.dropLinesEnding(before: start.firstWanted)
        } else {
            (state.generation, state.offset) = (extent.oldest, 0)
        }
    }

    private func openNext(_ state: inout State, upTo last: LogPlace, oldest: Int) throws {
        while state.generation <= last.generation {
            if let file = try writer.open(state.generation) {
                state.file = file
                return
            }
            state.generation = max(state.generation + 1, oldest)
            state.offset = 0
        }
    }

    private func read(_ file: FileDescriptor, upTo end: Int, _ state: inout State) throws {
        let count = min(Self.chunkSize, end - state.offset)
        let bytes = try Array<UInt8>(unsafeUninitializedCapacity: count) { buffer, filled in
            filled = try file.read(fromAbsoluteOffset: Int64(state.offset), into: UnsafeMutableRawBufferPointer(buffer))
        }
        // Records are written whole, so a chunk that ends in one is read again from there; one has at least one whole.
        guard let last = bytes.lastIndex(of: 10) else {
            state.offset += max(1, bytes.count)
            return
        }
        var start = 0
        while start <= last, let newline = bytes[start...last].firstIndex(of: 10) {
            if let record = LogRecord(bytes[start..<newline]) {
                let place = LogPlace(generation: state.generation, offset: state.offset + start)
                if let line = state.assembler.add(record, at: place) { state.lines.append(line) }
            }
            start = newline + 1
        }
        state.offset += last + 1
    }
}

/// Where a record is, over all files of a log.
struct LogPlace: Comparable {
    var generation: Int
    var offset: Int

    static func < (lhs: LogPlace, rhs: LogPlace) -> Bool {
        (lhs.generation, lhs.offset) < (rhs.generation, rhs.offset)
    }
}
