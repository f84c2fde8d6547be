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
        var assembler = LogLineAssembler()
        var lines: Deque<LogLine> = []
        var hasStarted = false
    }

    private static let chunkSize = 64 << 10

    private let writer: LogWriter
    private let tail: Int?
    private let follow: Bool
    private let state = Mutex(State())

    init(_ writer: LogWriter, tail: Int?, follow: Bool) {
        self.writer = writer
        self.tail = tail
        self.follow = follow
    }

    deinit {
        state.withLock { if let file = $0.file { close(file.rawValue) } }
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
        let version = writer.signal.version
        if writer.signal.isClosed { return .finished }
        return try state.withLock { state in
            if !state.hasStarted {
                guard try follow || writer.isThere() else {
                    throw AgentError(.notFound, code: "log_not_found", "nothing was written to this log yet")
                }
                try start(&state)
            }
            let extent = try writer.extent()
            if state.file == nil { try openNext(&state, extent: extent) }
            guard let file = state.file else { return .waiting(version: version) }
            let end = state.generation == extent.generation ? extent.length : Int(try file.seek(offset: 0, from: .end))
            if state.offset < end {
                try read(file, upTo: end, &state)
                return .lines
            }
            if state.generation < extent.generation {
                close(file.rawValue)
                state.file = nil
                state.generation += 1
                state.offset = 0
                return .lines
            }
            let rest = state.assembler.unfinished()
            state.lines.append(contentsOf: rest)
            guard rest.isEmpty else { return .lines }
            return follow ? .waiting(version: version) : .finished
        }
    }

    private func start(_ state: inout State) throws {
        let extent = try writer.extent()
        if let tail {
            let start = try LogTail(writer, lines: tail).find(extent)
            (state.generation, state.offset) = (start.generation, start.offset)
            state.assembler.dropLinesEnding(before: start.firstWanted)
        } else {
            (state.generation, state.offset) = (extent.oldest, 0)
        }
        state.hasStarted = true
    }

    private func openNext(_ state: inout State, extent: LogWriter.Extent) throws {
        while state.generation <= extent.generation {
            if let file = try writer.open(state.generation) {
                state.file = file
                return
            }
            state.generation = max(state.generation + 1, extent.oldest)
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
