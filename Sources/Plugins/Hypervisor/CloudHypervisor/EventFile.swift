import CLinux
import Dispatch
import Glibc
import Logging
import Synchronization
import SystemPackage

/// Follows the files that VMMs write their events to, while they grow.
///
/// A file, and no pipe or socket, since it takes what happens while no agent is there, and a VMM never waits for a reader.
/// The kernel tells of writes (inotify(7); one descriptor for all files, of which a user has 128). What was read is
/// punched out of the file at once, so that it takes no room however much a guest has its VMM report; the hole also says
/// where the next agent goes on.
final class EventFiles: Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "hypeman.events")
    /// The file of each watch.
    private let files = Mutex<[Int32: EventFile]>([:])
    // Written once, in init; dispatch sources may be cancelled from any thread.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    /// - Throws: `Errno` if the kernel has no descriptor left for it.
    init() throws {
        let descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        self.descriptor = descriptor
        source.setEventHandler { [weak self] in self?.read() }
        source.setCancelHandler { close(descriptor) }
        source.activate()
    }

    deinit {
        source.cancel()
    }

    /// Makes the file that a VMM is about to write to, empty and for this user and its group: the VMM may be another user.
    ///
    /// Blocks for microseconds.
    static func make(_ path: FilePath) throws {
        let file = try FileDescriptor.open(
            path,
            .writeOnly,
            options: [.create, .truncate, .closeOnExec, .noFollow],
            permissions: .ownerReadWrite
        )
        try file.closeAfter {
            guard fchmod(file.rawValue, 0o660) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    /// Reads what is in a file, and then what comes, until the file is let go of by ``EventFile/end()``.
    ///
    /// Returns when what was in it has been received. Blocks for as long as that takes.
    ///
    /// - Parameters:
    ///   - path: Of a file that is there.
    ///   - receive: Called with the bytes in order, one call after the other, on any thread; must not block.
    /// - Returns: What is followed.
    /// - Throws: `Errno`.
    func follow(_ path: FilePath, _ receive: @escaping @Sendable ([UInt8]) -> Void) throws -> EventFile {
        let descriptor = try FileDescriptor.open(path, .readWrite, options: [.closeOnExec, .noFollow])
        let file = EventFile(descriptor, files: self, receive)
        try queue.sync {
            let watch = inotify_add_watch(self.descriptor, path.string, UInt32(IN_MODIFY))
            guard watch >= 0 else {
                let error = Errno(rawValue: errno)
                try? descriptor.close()
                throw error
            }
            files.withLock { $0[watch] = file }
            file.drain()
        }
        return file
    }

    fileprivate func drain(_ file: EventFile) {
        queue.sync { file.drain() }
    }

    fileprivate func forget(_ file: EventFile) {
        queue.sync { forgetNow(file) }
    }

    fileprivate func forgetSoon(_ file: EventFile) {
        queue.async { self.forgetNow(file) }
    }

    private func forgetNow(_ file: EventFile) {
        let watches = files.withLock { files in
            let watches = files.filter { $0.value === file }.map(\.key)
            for watch in watches { files[watch] = nil }
            return watches
        }
        // EINVAL: the file is gone, and its watch with it.
        for watch in watches { inotify_rm_watch(descriptor, watch) }
        file.close()
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
        for file in files.withLock({ files in written.compactMap { files[$0] } }) { file.drain() }
    }
}

/// One file that is followed.
final class EventFile: @unchecked Sendable {  // What is mutable is touched on the queue of `files` only.
    private static let chunk = 64 << 10

    private let descriptor: FileDescriptor
    private let files: EventFiles
    private let receive: @Sendable ([UInt8]) -> Void
    private var position: Int64 = 0
    private var isClosed = false

    fileprivate init(
        _ descriptor: FileDescriptor,
        files: EventFiles,
        _ receive: @escaping @Sendable ([UInt8]) -> Void
    ) {
        self.descriptor = descriptor
        self.files = files
        self.receive = receive
        // What an agent before this one has read is a hole; ENXIO is a file that is all hole, or empty.
        let end = lseek(descriptor.rawValue, 0, SEEK_END)
        let data = clinux_seek_data(descriptor.rawValue, 0)
        position = max(0, data >= 0 ? data : Int64(end))
    }

    /// Reads to the end, and lets go of the file.
    ///
    /// Blocks for microseconds.
    func end() {
        files.drain(self)
        files.forget(self)
    }

    /// Lets go of the file, soon, and leaves the rest in it.
    func leave() {
        files.forgetSoon(self)
    }

    fileprivate func drain() {
        guard !isClosed else { return }
        while true {
            let bytes = [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, count in
                count = max(0, pread(descriptor.rawValue, buffer.baseAddress, buffer.count, off_t(position)))
            }
            guard !bytes.isEmpty else { return }
            receive(bytes)
            position += Int64(bytes.count)
            // Where it is not supported the file stays; it lies in memory that ends with the machine.
            _ = clinux_punch_hole(descriptor.rawValue, 0, position)
        }
    }

    fileprivate func close() {
        guard !isClosed else { return }
        isClosed = true
        // Nothing can be said of a descriptor that does not close.
        try? descriptor.close()
    }
}
