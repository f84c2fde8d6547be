import CLinux
import Glibc
import SystemPackage

/// Files with holes.
enum SparseFile {
    /// Bytes that the kernel copies at a time, between two looks at the cancellation.
    private static let pieceSize = 64 << 20

    /// Where the next data begins, nil if nothing but a hole follows (lseek(2), SEEK_DATA).
    static func data(of file: FileDescriptor, from position: Int) -> Int? {
        let data = clinux_seek_data(file.rawValue, Int64(position))
        return data < 0 ? nil : Int(data)
    }

    /// Copies a file to a new one, which is on disk when this returns: by reference where the file system can, without
    /// the holes otherwise.
    ///
    /// - Throws: `Errno`; the new file is not there then.
    static func copy(_ source: FilePath, to destination: FilePath, _ cancellation: Cancellation) throws {
        let input = try FileDescriptor.open(source, .readOnly, options: [.closeOnExec, .noFollow])
        defer { try? input.close() }
        let output = try FileDescriptor.open(
            destination,
            .writeOnly,
            options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: .ownerReadWrite
        )
        do {
            try output.closeAfter {
                if clinux_clone(input.rawValue, output.rawValue) != 0 {
                    try copyData(from: input, to: output, cancellation)
                }
                try Files.check(fsync(output.rawValue))
            }
        } catch {
            unlink(destination.string)
            throw error
        }
    }

    private static func copyData(
        from input: FileDescriptor,
        to output: FileDescriptor,
        _ cancellation: Cancellation
    ) throws {
        let size = try input.seek(offset: 0, from: .end)
        try Files.check(ftruncate(output.rawValue, off_t(size)))
        var position = 0
        while let start = data(of: input, from: position) {
            let end = Int(clinux_seek_hole(input.rawValue, Int64(start)))
            guard end > start else { break }
            position = start
            while position < end {
                try cancellation.check()
                let length = min(end - position, pieceSize)
                let count = clinux_copy_range(input.rawValue, output.rawValue, Int64(position), Int64(length))
                try Files.check(count)
                if count == 0 { break }
                position += Int(count)
            }
            position = end
        }
    }
}
