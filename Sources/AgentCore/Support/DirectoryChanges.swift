import Dispatch
import Glibc
import Logging
import Synchronization
import SystemPackage

/// Tells of writes to files in directories (inotify(7)), over one kernel object for all of them: a user has few.
final class DirectoryChanges: Sendable {
    private struct Watcher {
        let number: Int
        let file: [UInt8]
        let continuation: AsyncStream<Void>.Continuation
    }

    private struct State {
        /// By watch descriptor, which the kernel does not give twice.
        var watchers: [Int32: Watcher] = [:]
        var next = 0
    }

    private let descriptor: Int32
    private let logger: Logger
    private let state = Mutex(State())
    // Written once, in init; dispatch sources may be cancelled from any thread.
    nonisolated(unsafe) private let source: (any DispatchSourceRead)?

    /// Where the kernel has no object left, nothing is told; the log says so.
    init(logger: Logger) {
        self.logger = logger
        let descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        self.descriptor = descriptor
        guard descriptor >= 0 else {
            source = nil
            logger.warning("files cannot be followed", metadata: ["error": "\(Errno(rawValue: errno))"])
            return
        }
        let source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor,
            queue: DispatchQueue(label: "hypeman.directory-changes")
        )
        self.source = source
        source.setEventHandler { [weak self] in self?.read() }
        source.setCancelHandler { close(descriptor) }
        source.activate()
    }

    deinit {
        source?.cancel()
        for watcher in state.withLock({ $0.watchers.values }) { watcher.continuation.finish() }
    }

    /// An element after each write, or several, to the file of this name; ends when the directory is removed.
    ///
    /// Registered when this returns. A directory is followed by one at a time: the one before sees its stream end.
    func writes(to file: String, in directory: FilePath) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let watch = state.withLock { state -> Int32 in
            let watch = inotify_add_watch(descriptor, directory.string, UInt32(IN_MODIFY | IN_CREATE | IN_ONLYDIR))
            guard watch >= 0 else { return watch }
            state.next += 1
            let number = state.next
            continuation.onTermination = { [weak self] _ in self?.forget(watch, number) }
            state.watchers.updateValue(
                Watcher(number: number, file: Array(file.utf8), continuation: continuation),
                forKey: watch
            )?.continuation.finish()
            return watch
        }
        if watch < 0 {
            let error = Errno(rawValue: errno)
            logger.warning("file cannot be followed", metadata: ["path": "\(directory)/\(file)", "error": "\(error)"])
            continuation.finish()
        }
        return stream
    }

    private func forget(_ watch: Int32, _ number: Int) {
        let isCurrent = state.withLock { state in
            guard state.watchers[watch]?.number == number else { return false }
            state.watchers[watch] = nil
            return true
        }
        if isCurrent { inotify_rm_watch(descriptor, watch) }
    }

    private func read() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: MemoryLayout<inotify_event>.alignment) { buffer in
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + MemoryLayout<inotify_event>.size <= count {
                    let event = buffer.load(fromByteOffset: offset, as: inotify_event.self)
                    offset += MemoryLayout<inotify_event>.size
                    handle(event, name: buffer[offset..<min(count, offset + Int(event.len))].prefix { $0 != 0 })
                    offset += Int(event.len)
                }
            }
        }
    }

    private func handle(_ event: inotify_event, name: Slice<UnsafeMutableRawBufferPointer>) {
        let told = state.withLock { state -> [Watcher] in
            // Some were dropped: whose they were is not known.
            if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return Array(state.watchers.values) }
            guard let watcher = state.watchers[event.wd] else { return [] }
            return event.mask & UInt32(IN_IGNORED) != 0 || name.elementsEqual(watcher.file) ? [watcher] : []
        }
        for watcher in told {
            if event.mask & UInt32(IN_IGNORED) != 0 {
                watcher.continuation.finish()
            } else {
                watcher.continuation.yield()
            }
        }
    }
}
