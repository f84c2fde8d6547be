import CLinux
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
    /// The process of each watch, and its file.
    ///
    /// Read on the source's queue and changed by callers.
    private let files = Mutex<[Int32: (pid: Int32, file: OutputFile)]>([:])
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

    /// Watches the file that a process's output goes to, if it is a file.
    ///
    /// It is reached through the process, so that an agent that has come back need not know where it is.
    func add(_ pid: Int32) {
        guard let path = Self.path(pid) else { return }
        add(pid, path: path)
    }

    /// Watches a file that is known, of a process into which this one cannot look.
    func add(_ pid: Int32, file: FilePath) { add(pid, path: file.string) }

    private func add(_ pid: Int32, path: String) {
        // The watch is on the very file, wherever the path leads by then.
        let file = OutputFile(path)
        let watch = file.map { inotify_add_watch(descriptor, $0.place, UInt32(IN_MODIFY)) } ?? -1
        guard let file, watch >= 0 else {
            logger.warning(
                "the output of a process is not bounded",
                metadata: ["pid": "\(pid)", "error": "\(Errno(rawValue: errno))"]
            )
            return
        }
        files.withLock { $0[watch] = (pid, file) }
        trim(file, of: pid)
    }

    /// Stops watching, once a process has ended.
    func remove(_ pid: Int32) {
        let watches = files.withLock { files in
            let watches = files.filter { $0.value.pid == pid }.map(\.key)
            for watch in watches { files[watch] = nil }
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
        let files = files.withLock { files in written.compactMap { files[$0] } }
        for (pid, file) in files { trim(file, of: pid) }
    }

    private func trim(_ file: OutputFile, of pid: Int32) {
        do {
            guard try file.size() > Self.limit else { return }
            try file.empty()
            logger.warning(
                "the output of a process was emptied",
                metadata: ["pid": "\(pid)", "limit": "\(Self.limit)"]
            )
        } catch {
            logger.warning(
                "the output of a process cannot be emptied",
                metadata: ["pid": "\(pid)", "error": "\(error)"]
            )
        }
    }

    /// The output file as the process sees it: the first regular file that it appends to.
    ///
    /// Mostly that is its stdout, but dnsmasq moves its log to another descriptor and closes the first three.
    private static func path(_ pid: Int32) -> String? {
        let flags = O_ACCMODE | O_APPEND
        // A VMM opens its disks later and never to append; what is below 16 was there first.
        return (1..<16).lazy.filter { number in
            var information = stat()
            guard stat("/proc/\(pid)/fd/\(number)", &information) == 0, information.st_mode & S_IFMT == S_IFREG,
                let bytes = ProcessTable.read("/proc/\(pid)/fdinfo/\(number)", limit: 1024)
            else { return false }
            // "flags:\t02102001", octal (proc(5)).
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("flags:") }
            guard let value = line?.split(separator: "\t").last.flatMap({ Int32($0, radix: 8) }) else { return false }
            return value & flags == O_WRONLY | O_APPEND
        }.map { "/proc/\(pid)/fd/\($0)" }.first
    }
}

/// A file by itself, whatever becomes of the path by which it was found; it is looked at with each write.
private final class OutputFile: Sendable {
    private let descriptor: Int32

    /// Fails with nil, and errno.
    init?(_ path: String) {
        descriptor = clinux_open_place(AT_FDCWD, path, 1)
        guard descriptor >= 0 else { return nil }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// A path that leads to it, as long as this is there.
    var place: String { "/proc/self/fd/\(descriptor)" }

    func size() throws(Errno) -> off_t {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw Errno(rawValue: errno) }
        return information.st_size
    }

    func empty() throws(Errno) {
        // ftruncate(2) does not take a descriptor that is only a place (open(2), O_PATH).
        guard truncate(place, 0) == 0 else { throw Errno(rawValue: errno) }
    }
}
