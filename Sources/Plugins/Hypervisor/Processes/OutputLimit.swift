import Dispatch
import Glibc
import Logging
import Synchronization
import SystemPackage

/// Keeps the output files of processes small: one that has grown beyond the limit is emptied.
///
/// A guest can make its VMM complain without end, and the file lies in memory (/run). The kernel tells of writes
/// (inotify(7)), so nothing is looked at while nothing is written. The files are opened with O_APPEND, so that a process
/// goes on at the new end.
final class OutputLimit: Sendable {
    /// Bytes that a file may have.
    static let limit: off_t = 1 << 20

    private let descriptor: Int32
    private let logger: Logger
    /// The process of each watch.
    ///
    /// Read on the source's queue and changed by callers.
    private let pids = Mutex<[Int32: Int32]>([:])
    // Written once, in init; dispatch sources may be cancelled from any thread.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    /// Fails with nil if the kernel has no watch left; the reason is in the log.
    init?(queue: DispatchQueue, logger: Logger) {
        let descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard descriptor >= 0 else {
            logger.warning(
                "the output of processes is not bounded",
                metadata: ["error": "\(Errno(rawValue: errno))"]
            )
            return nil
        }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        self.descriptor = descriptor
        self.logger = logger
        source.setEventHandler { [weak self] in self?.read() }
        source.setCancelHandler { close(descriptor) }
        source.activate()
    }

    deinit {
        source.cancel()
    }

    /// Watches the file that is a process's stdout, if it is a file.
    ///
    /// It is reached through the process, so that an agent that has come back need not know where it is.
    func add(_ pid: Int32) {
        let path = Self.path(pid)
        var information = stat()
        guard stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return }
        let watch = inotify_add_watch(descriptor, path, UInt32(IN_MODIFY))
        guard watch >= 0 else {
            logger.warning(
                "the output of a process is not bounded",
                metadata: ["pid": "\(pid)", "error": "\(Errno(rawValue: errno))"]
            )
            return
        }
        pids.withLock { $0[watch] = pid }
        trim(pid)
    }

    /// Stops watching, once a process has ended.
    func remove(_ pid: Int32) {
        let watches = pids.withLock { pids in
            let watches = pids.filter { $0.value == pid }.map(\.key)
            for watch in watches { pids[watch] = nil }
            return watches
        }
        for watch in watches { inotify_rm_watch(descriptor, watch) }
    }

    private func read() {
        var written: Set<Int32> = []
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: MemoryLayout<inotify_event>.alignment) { buffer in
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                guard count > 0 else { return }
                var offset = 0
                while offset + MemoryLayout<inotify_event>.size <= count {
                    let event = buffer.load(fromByteOffset: offset, as: inotify_event.self)
                    written.insert(event.wd)
                    offset += MemoryLayout<inotify_event>.size + Int(event.len)
                }
            }
        }
        let pids = pids.withLock { pids in written.compactMap { pids[$0] } }
        for pid in pids { trim(pid) }
    }

    private func trim(_ pid: Int32) {
        let path = Self.path(pid)
        var information = stat()
        // Gone means that the process has just ended.
        guard stat(path, &information) == 0, information.st_size > Self.limit else { return }
        guard truncate(path, 0) == 0 else {
            logger.warning(
                "the output of a process cannot be emptied",
                metadata: ["pid": "\(pid)", "error": "\(Errno(rawValue: errno))"]
            )
            return
        }
        logger.warning("the output of a process was emptied", metadata: ["pid": "\(pid)", "limit": "\(Self.limit)"])
    }

    private static func path(_ pid: Int32) -> String { "/proc/\(pid)/fd/1" }
}
