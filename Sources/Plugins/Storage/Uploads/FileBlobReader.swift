import AgentCore
import Glibc
import SystemPackage

/// Reads a blob's file, which may lose its name meanwhile.
final class FileBlobReader: BlobReader {
    let size: Int
    private let descriptor: FileDescriptor

    /// Opens a file; nil if there is none.
    init?(_ path: FilePath) throws {
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        } catch Errno.noSuchFileOrDirectory {
            return nil
        } catch let errno as Errno {
            throw Files.error(errno, "cannot read \(path)")
        }
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else {
            let errno = Errno(rawValue: errno)
            close(descriptor.rawValue)
            throw Files.error(errno, "cannot look at \(path)")
        }
        size = Int(status.st_size)
    }

    deinit { close(descriptor.rawValue) }

    func read(at offset: Int, count: Int) async throws -> [UInt8] {
        try await Blocking.short { [self] in
            try Files.translating("cannot read a blob") {
                try Array(unsafeUninitializedCapacity: count) { buffer, filled in
                    filled = try descriptor.read(
                        fromAbsoluteOffset: Int64(offset),
                        into: UnsafeMutableRawBufferPointer(buffer)
                    )
                }
            }
        }
    }
}
