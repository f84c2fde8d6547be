import AgentCore
import Glibc
import GuestProtocol
import Synchronization
import SystemPackage

import struct Foundation.Date

/// Writes one log: `<source>.log`, and `<source>.log.<n>` for those rotated away, the highest `n` the newest.
///
/// Every method may block and is called on a thread for that. A file's generation is its `n`, and for the current one
/// what its `n` is going to be: a reader that keeps a file open through a rotation knows which one follows.
final class LogWriter: Sendable {
    /// What of the log readers may see.
    struct Extent {
        var generation: Int
        var length: Int
        var oldest: Int

        var end: LogPlace { LogPlace(generation: generation, offset: length) }
    }

    private struct Open {
        var log: FileDescriptor
        /// Only for the program's output.
        var positionFile: FileDescriptor?
        var position: LogPosition?
        var generation: Int
        var length: Int
        var isEmpty: Bool
        var tracker = LogLineTracker()
    }

    let signal = LogSignal()
    private let directory: FilePath
    private let source: LogSource
    private let limits: LogLimits
    private let state = Mutex<Open?>(nil)

    init(directory: FilePath, source: LogSource, limits: LogLimits) {
        self.directory = directory
        self.source = source
        self.limits = limits
    }

    private var current: FilePath { directory.appending("\(source.rawValue).log") }
    private var positionPath: FilePath { directory.appending("\(source.rawValue).position") }

    private func path(_ generation: Int, of open: Open) -> FilePath {
        generation == open.generation ? current : rotated(generation)
    }

    private func rotated(_ generation: Int) -> FilePath { directory.appending("\(source.rawValue).log.\(generation)") }

    // MARK: Writing

    /// Writes a stretch of the program's output, from the recorded position on.
    func append(_ output: GuestOutput, at time: Date, boot: Int) throws {
        try change { open in
            let position = open.position.flatMap { $0.boot == boot ? $0.offset : nil } ?? 0
            let end = output.offset + UInt64(output.bytes.count)
            guard end > position else { return }
            var records: [UInt8] = []
            if open.position?.boot != boot || output.offset > position { records += open.tracker.endings(at: time) }
            if output.offset > position {
                let text = "[hypeman: \(output.offset - position) bytes of output were lost]\n"
                records += LogRecord.encode(Array(text.utf8)[...], stream: .stderr, time: time)
            }
            let known = position > output.offset ? Int(position - output.offset) : 0
            records += LogRecord.encode(output.bytes[known...], stream: output.stream, time: time)
            try write(records, to: &open, position: (boot, end))
        }
    }

    func append(_ bytes: [UInt8], at time: Date) throws {
        guard !bytes.isEmpty else { return }
        try change { open in
            try write(LogRecord.encode(bytes[...], stream: .stdout, time: time), to: &open, position: nil)
        }
    }

    func offset(boot: Int) throws -> UInt64 {
        try withOpen { open in open.position.flatMap { $0.boot == boot ? $0.offset : nil } ?? 0 }
    }

    private func change(_ body: (inout Open) throws -> Void) throws {
        try withOpen { open in try body(&open) }
        signal.notify()
    }

    private func write(_ records: [UInt8], to open: inout Open, position: (boot: Int, offset: UInt64)?) throws {
        if open.length >= limits.maximumSize.bytes { try rotate(&open) }
        let next = position.map {
            LogPosition(
                boot: $0.boot,
                offset: $0.offset,
                generation: open.generation,
                length: open.length + records.count
            )
        }
        do {
            try Files.translating("cannot write the \(source.rawValue) log in \(directory)") {
                try records.withUnsafeBytes { try Files.write($0, to: open.log, at: open.length) }
                if let next, let file = open.positionFile { try next.write(to: file) }
            }
        } catch {
            // Nobody has seen it: readers look no further than the length. The next write comes to the same place.
            ftruncate(open.log.rawValue, open.length)
            throw error
        }
        if let next { open.position = next }
        open.length += records.count
        open.isEmpty = false
        open.tracker.note(records)
    }

    private func rotate(_ open: inout Open) throws {
        try Files.translating("cannot rotate the \(source.rawValue) log in \(directory)") {
            try Files.check(rename(current.string, rotated(open.generation).string))
            let log: FileDescriptor
            do {
                log = try openLog()
            } catch {
                rename(rotated(open.generation).string, current.string)
                throw error
            }
            close(open.log.rawValue)
            open.log = log
            open.generation += 1
            open.length = 0
        }
        for generation in try generations() where generation < open.generation - limits.maximumFiles {
            try Files.remove(rotated(generation))
        }
        if var position = open.position, let file = open.positionFile {
            position.generation = open.generation
            position.length = 0
            try Files.translating("cannot write \(positionPath)") { try position.write(to: file) }
            open.position = position
        }
    }

    // MARK: Reading

    func extent() throws -> Extent {
        try withOpen { open in
            Extent(generation: open.generation, length: open.length, oldest: try generations().min() ?? open.generation)
        }
    }

    /// Whether anything was ever written.
    func isThere() throws -> Bool {
        guard try Files.status(current) != nil else { return false }
        return try withOpen { !$0.isEmpty }
    }

    /// Opens a file for reading; nil if it was rotated away.
    func open(_ generation: Int) throws -> FileDescriptor? {
        try withOpen { open in
            do {
                return try FileDescriptor.open(path(generation, of: open), .readOnly, options: .closeOnExec)
            } catch Errno.noSuchFileOrDirectory {
                return nil
            } catch let errno as Errno {
                throw Files.error(errno, "cannot read the \(source.rawValue) log in \(directory)")
            }
        }
    }

    // MARK: Opening

    /// Runs `body` with the log open.
    private func withOpen<T>(_ body: (inout Open) throws -> T) throws -> T {
        try state.withLock { state in
            guard !signal.isClosed else {
                throw AgentError(.notFound, code: "log_not_found", "the logs of the instance were removed")
            }
            var open = try state ?? recover()
            defer { state = open }
            return try body(&open)
        }
    }

    private func openLog() throws -> FileDescriptor {
        try FileDescriptor.open(current, .readWrite, options: [.create, .closeOnExec], permissions: [.ownerReadWrite])
    }

    private func generations() throws -> [Int] {
        let prefix = "\(source.rawValue).log."
        return try Files.names(in: directory).filter { $0.hasPrefix(prefix) }.compactMap {
            Int($0.dropFirst(prefix.count))
        }
    }

    /// Opens what an earlier process left, cut to what is known to be complete.
    private func recover() throws -> Open {
        for path in [directory.removingLastComponent(), directory] { try Files.makeDirectory(path) }
        let generation = (try generations().max() ?? 0) + 1
        return try Files.translating("cannot open the \(source.rawValue) log in \(directory)") {
            let log = try openLog()
            var open = Open(log: log, generation: generation, length: 0, isEmpty: true)
            do {
                if source == .app {
                    open.positionFile = try FileDescriptor.open(
                        positionPath,
                        .readWrite,
                        options: [.create, .closeOnExec],
                        permissions: [.ownerReadWrite]
                    )
                    open.position = try open.positionFile.flatMap { try LogPosition(reading: $0) }
                }
                let size = Int(try log.seek(offset: 0, from: .end))
                if let position = open.position, position.generation == generation {
                    open.length = min(size, position.length)
                } else if open.position == nil {
                    open.length = try LogRecordScan.completeLength(of: log, size: size)
                } else {
                    // Killed in the middle of a rotation: nothing can have been written to the new file.
                    open.length = 0
                }
                try Files.check(ftruncate(log.rawValue, open.length))
                open.isEmpty = open.length == 0 && generation == 1
                open.tracker = try LogRecordScan.tracker(of: log, length: open.length)
                return open
            } catch {
                close(log.rawValue)
                if let file = open.positionFile { close(file.rawValue) }
                throw error
            }
        }
    }

    /// Closes and removes everything, and ends those who follow.
    func remove() throws {
        try state.withLock { state in
            signal.close()
            if let open = state {
                close(open.log.rawValue)
                if let file = open.positionFile { close(file.rawValue) }
            }
            state = nil
            for generation in try generations() { try Files.remove(rotated(generation)) }
            try Files.remove(current)
            try Files.remove(positionPath)
        }
    }

    deinit {
        state.withLock { state in
            guard let open = state else { return }
            close(open.log.rawValue)
            if let file = open.positionFile { close(file.rawValue) }
        }
    }
}
