import CIsal
import Glibc
import SystemPackage

/// CRC-64 with the polynomial of ECMA-182, reflected, as xz and ISA-L have it: several GB/s, and tells damage, not malice.
enum Checksum {
    /// Large enough that system calls do not count, small enough for the second-level cache.
    private static let pieceSize = 1 << 20

    /// Of a whole file, in 16 hexadecimal digits, with its size.
    static func file(_ path: FilePath, _ cancellation: Cancellation) throws -> (size: Int, digits: String) {
        let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .noFollow])
        return try file.closeAfter {
            posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceSize, alignment: 4096)
            defer { buffer.deallocate() }
            var (size, sum) = (0, UInt64(0))
            while true {
                try cancellation.check()
                let count = try file.read(into: buffer)
                if count == 0 { break }
                sum = crc64_ecma_refl(sum, buffer.baseAddress, UInt64(count))
                size += count
            }
            let digits = String(sum, radix: 16)
            return (size, String(repeating: "0", count: 16 - digits.count) + digits)
        }
    }
}
