import CLinux
import Glibc
import Tar

/// Finds where a file has holes.
enum FileHoles {
    /// As many pieces as a map has; what follows in a file that has more is stored with its holes as zeros.
    ///
    /// A map stays below what a reader takes as one header, and small in memory.
    private static let maximumExtents = 16_384

    /// The map of a file that has holes, nil for one that has none or whose file system does not tell.
    static func map(of descriptor: Int32, _ status: stat, _ path: String) throws -> SparseMap? {
        let size = Int64(status.st_size)
        // st_blocks counts 512 bytes whatever the file system's blocks are (stat(2)).
        guard size > 0, Int64(status.st_blocks) < (size + 511) / 512 else { return nil }
        var map = SparseMap(size: Int(size), extents: [])
        var position: Int64 = 0
        while position < size {
            let start = clinux_seek_data(descriptor, position)
            guard start >= 0 else {
                // No more data.
                if errno == ENXIO { break }
                if errno == EINVAL || errno == EOPNOTSUPP { return nil }
                throw TreeFailure(errno: errno, "cannot look for holes in", path)
            }
            guard start < size else { break }
            let end = clinux_seek_hole(descriptor, start)
            guard end > start else { throw TreeFailure(errno: errno, "cannot look for holes in", path) }
            position = map.extents.count == maximumExtents - 1 ? size : min(end, size)
            map.extents.append(SparseMap.Extent(offset: Int(start), count: Int(position - start)))
        }
        return map.extents == [SparseMap.Extent(offset: 0, count: Int(size))] ? nil : map
    }
}

/// Files that the kernel makes up when they are read, whose size nobody knows before.
struct GeneratedFiles {
    /// What such a file may give; those that would give more are no files that anybody copies (kcore, pagemap).
    private static let limit = 4 << 20
    /// include/uapi/linux/magic.h: procfs, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, pstore, bpf, configfs,
    /// efivarfs, selinuxfs, binfmt_misc, mqueue, devpts.
    private static let fileSystems: Set<Int64> = [
        0x9fa0, 0x6265_6572, 0x27_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x6165_676c, 0xcafe_4a11,
        0x6265_6570, 0xde5e_81e4, 0xf97c_ff8c, 0x4249_4e4d, 0x1980_0202, 0x1cd1,
    ]

    private var known: (device: UInt64, isGenerated: Bool)?

    static func areBehind(_ descriptor: Int32) -> Bool { fileSystems.contains(clinux_file_system(descriptor)) }

    /// The contents if it is such a file.
    mutating func contents(of descriptor: Int32, _ status: stat, _ path: String) throws -> [UInt8]? {
        let device = UInt64(status.st_dev)
        if known?.device != device { known = (device, Self.areBehind(descriptor)) }
        guard known?.isGenerated == true else { return nil }
        var contents: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw TreeFailure(errno: errno, "cannot read", path) }
            if count == 0 { return contents }
            contents += buffer.prefix(count)
            guard contents.count <= Self.limit else {
                throw TreeFailure(
                    .unsupported,
                    path: path,
                    "\(TreeFailure.quoted(path)) is made up by the kernel and longer than \(Self.limit) bytes"
                )
            }
        }
    }
}
