import GuestProtocol
import NIOCore
import TarTree

/// Files that become an archive for the host, as fast as the host takes it.
final class FileReading: FileCopy {
    private unowned let stream: AgentStream
    private let queue: ChunkQueue
    private var result: GuestFilesResult?
    private var isOver = false

    /// Starts; `onEnd` is called once, on the event loop, when the thread is done with the files.
    init(_ request: GuestReadRequest, _ stream: AgentStream, on eventLoop: any EventLoop, onEnd: @escaping () -> Void)
        throws(TreeFailure)
    {
        self.stream = stream
        // Touched on the event loop only, as this is.
        let reading = NIOLoopBoundBox<FileReading?>(nil, eventLoop: eventLoop)
        let end = NIOLoopBound(onEnd, eventLoop: eventLoop)
        queue = ChunkQueue { eventLoop.execute { reading.value?.pump() } }
        reading.value = self
        let queue = queue
        try TreeThread.start {
            let result = GuestFilesResult(
                Result {
                    let archiver = TreeArchiver(
                        wholeFiles: request.wholeFiles,
                        staysOnFileSystem: request.asImage,
                        leavingOut: request.asImage ? NetworkFiles.paths : []
                    ) { try queue.put($0) }
                    try archiver.archive(request.path, followsLink: request.followsLink, as: request.name)
                    return GuestFilesResult(warnings: archiver.warnings.messages)
                }
            )
            queue.finish()
            eventLoop.execute {
                reading.value?.finish(result)
                reading.value = nil
                end.value()
            }
        }
    }

    func receive(_ frame: GuestFrame) {}

    func endInput() {}

    func resumeOutput() { pump() }

    func cancel() {
        isOver = true
        queue.cancel()
    }

    private func finish(_ result: GuestFilesResult) {
        self.result = result
        pump()
    }

    private func pump() {
        while !isOver, stream.hasRoom {
            switch queue.poll() {
            case .chunk(let bytes): stream.send(.archive, bytes)
            case .empty: return
            case .finished:
                guard let result else { return }
                isOver = true
                stream.finish(with: result)
            }
        }
    }
}
