import AgentCore
import Glibc
import SystemPackage
import Tar

/// A stretch of a file.
final class FileSource: ByteSource {
    private let descriptor: FileDescriptor
    private let path: FilePath
    private var position: Int64
    private var left: Int
    private let cancellation: Cancellation
    private let progress: ProgressMeter?

    /// Opens the whole file, or `count` bytes from `offset` on.
    init(
        _ path: FilePath,
        offset: Int = 0,
        count: Int = .max,
        cancellation: Cancellation,
        progress: ProgressMeter? = nil
    ) throws {
        self.path = path
        self.descriptor = try Files.translating("cannot open \(path)") {
            try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        }
        self.position = Int64(offset)
        self.left = count
        self.cancellation = cancellation
        self.progress = progress
    }

    deinit {
        close(descriptor.rawValue)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try cancellation.check()
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, left)])
        let count = try Files.translating("cannot read \(path)") {
            try descriptor.read(fromAbsoluteOffset: position, into: wanted)
        }
        position += Int64(count)
        left -= count
        progress?.add(count)
        return count
    }
}
