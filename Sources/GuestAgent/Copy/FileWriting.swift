import Glibc
import GuestProtocol
import NIOCore
import Tar
import TarTree

/// An archive of the host's that becomes files, as fast as they can be written.
final class FileWriting: FileCopy {
    private unowned let stream: AgentStream
    private let queue: ChunkQueue
    private var isWhole = false
    private var isOver = false

    /// Starts; `onEnd` is called once, on the event loop, when the thread is done with the files.
    init(_ request: GuestWriteRequest, _ stream: AgentStream, on eventLoop: any EventLoop, onEnd: @escaping () -> Void)
        throws(TreeFailure)
    {
        self.stream = stream
        let writing = NIOLoopBoundBox<FileWriting?>(nil, eventLoop: eventLoop)
        let end = NIOLoopBound(onEnd, eventLoop: eventLoop)
        queue = ChunkQueue { eventLoop.execute { writing.value?.readMore() } }
        writing.value = self
        let queue = queue
        try TreeThread.start {
            let result = GuestFilesResult(
                Result {
                    var options = TreeExtractor.Options()
                    options.keepsOwners = request.keepsOwners
                    options.keepsPrivileges = request.keepsOwners
                    options.makesDevices = true
                    let extractor = try TreeExtractor(into: request.path, options)
                    let source = QueueSource(queue)
                    let summary =
                        try request.file.map { try extractor.write(TarEntry($0), contents: source) }
                        ?? extractor.extract(source)
                    return GuestFilesResult(
                        members: summary.members,
                        bytes: summary.bytes,
                        warnings: summary.warnings.messages
                    )
                }
            )
            // What still comes is thrown away, until the host has seen the answer.
            queue.cancel()
            eventLoop.execute {
                writing.value?.finish(result)
                writing.value = nil
                end.value()
            }
        }
    }

    func receive(_ frame: GuestFrame) {
        switch frame.kind {
        case .archive: if !queue.offer(frame.payload) { stream.pauseInput() }
        case .archiveEnd:
            isWhole = true
            queue.finish()
        default: break
        }
    }

    func endInput() {
        if !isWhole { queue.cancel() }
    }

    func resumeOutput() {}

    func cancel() {
        isOver = true
        queue.cancel()
    }

    private func readMore() {
        if !isOver, queue.hasRoom { stream.resumeInput() }
    }

    private func finish(_ result: GuestFilesResult) {
        guard !isOver else { return }
        isOver = true
        stream.resumeInput()
        stream.finish(with: result)
    }
}

extension TarEntry {
    /// A file that the host has no time of: it is modified now.
    fileprivate init(_ file: GuestWriteRequest.File) {
        self.init(kind: file.isDirectory ? .directory : .file, name: Array(file.name.utf8))
        mode = UInt16(truncatingIfNeeded: file.mode) & 0o7777
        owner = UInt32(truncatingIfNeeded: file.owner)
        group = UInt32(truncatingIfNeeded: file.group)
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        modified = FileTime(seconds: Int64(now.tv_sec), nanoseconds: UInt32(truncatingIfNeeded: now.tv_nsec))
    }
}
