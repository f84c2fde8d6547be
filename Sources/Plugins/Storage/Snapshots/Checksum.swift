import CIsal
import Glibc
import SystemPackage

/// CRC-64 with the polynomial of ECMA-182, reflected, as xz and ISA-L have it: several GB/s, and tells damage, not malice.
///
/// Blocks of zeros are left out, and every other one counts with its number: a disk's holes cost nothing, and whether zeros
/// are a hole makes no difference.
enum Checksum {
    private static let blockSize = 4096
    /// Large enough that system calls do not count, small enough for the second-level cache.
    private static let pieceSize = 256 * blockSize
    private static let zeros = [UInt8](repeating: 0, count: blockSize)

    /// Of a whole file, in 16 hexadecimal digits, with its size.
    static func file(_ path: FilePath, _ cancellation: Cancellation) throws -> (size: Int, digits: String) {
        let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
        return try file.closeAfter {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceSize, alignment: blockSize)
            defer { buffer.deallocate() }
            let size = Int(try file.seek(offset: 0, from: .end))
            var (sum, position) = (UInt64(0), 0)
            while let data = SparseFile.data(of: file, from: position) {
                // An extent may begin anywhere; blocks do not.
                position = data / blockSize * blockSize
                try cancellation.check()
                let count = try read(file, at: position, into: buffer)
                guard count > 0 else { break }
                for start in stride(from: 0, to: count, by: blockSize) {
                    add(buffer, start..<min(start + blockSize, count), at: position + start, to: &sum)
                }
                position += count
            }
            let digits = String(sum, radix: 16)
            return (size, String(repeating: "0", count: 16 - digits.count) + digits)
        }
    }

    private static func add(
        _ buffer: UnsafeMutableRawBufferPointer,
        _ range: Range<Int>,
        at position: Int,
        to sum: inout UInt64
    ) {
        guard let bytes = buffer.baseAddress?.advanced(by: range.lowerBound),
            memcmp(bytes, zeros, range.count) != 0
        else { return }
        var number = UInt64(position / blockSize).littleEndian
        sum = crc64_ecma_refl(sum, &number, 8)
        sum = crc64_ecma_refl(sum, bytes, UInt64(range.count))
    }

    /// Whole pieces but at the end of the file, so that blocks are whole.
    private static func read(
        _ file: FileDescriptor,
        at position: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int {
        var count = 0
        while count < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
            let read = try file.read(fromAbsoluteOffset: Int64(position + count), into: rest)
            if read == 0 { break }
            count += read
        }
        return count
    }
}
