/// The parts of erofs' on-disk format that images need here, from the kernel's `fs/erofs/erofs_fs.h`; all of it is read by
/// Linux 5.4 and newer.
enum ErofsFormat {
    static let blockSize = 4096
    static let magic: UInt32 = 0xE0F5_E1E2
    static let superblockOffset = 1024
    /// Inode numbers count slots of this size from the start of the metadata area.
    static let slotSize = 32
    static let compactInodeSize = 32
    static let extendedInodeSize = 64
    static let directoryEntrySize = 12
    /// `i_xattr_icount` counts words of four bytes behind a header of twelve, and has sixteen bits.
    static let maximumAttributesSize = 12 + 4 * (Int(UInt16.max) - 1)

    /// Checksum of the superblock, and timestamps that are modification times.
    static let compatibleFeatures: UInt32 = 0x1 | 0x2

    /// Compressed blocks that begin with zeros and end with what is in them (`EROFS_FEATURE_INCOMPAT_ZERO_PADDING`).
    static let paddedBlocks: UInt32 = 0x1
    /// What one compressed block may hold, unpacked: so much is unpacked for a byte at its end.
    static let window = 64 << 10
    /// Between an inode that is compressed and its index: a header without any option, and as much that is not used.
    static let indexHeaderSize = 16

    enum Layout: UInt16 {
        /// All contents in blocks.
        case plain = 0
        /// Compressed, with an entry of the index for each block that the contents would take (`COMPRESSED_FULL`).
        case compressed = 1
        /// The last part follows the inode, in the same block.
        case inline = 2
    }

    enum FileType: UInt8 {
        case regular = 1
        case directory = 2
        case characterDevice = 3
        case blockDevice = 4
        case fifo = 5
        case symbolicLink = 7
    }

    static func blocks(_ bytes: Int) -> Int { (bytes + blockSize - 1) / blockSize }

    /// As `new_encode_dev` of `include/linux/kdev_t.h`.
    static func device(major: UInt32, minor: UInt32) -> UInt32 { minor & 0xff | major << 8 | (minor & ~0xff) << 12 }
}

extension Node {
    var fileType: ErofsFormat.FileType {
        switch payload {
        case .directory: .directory
        case .file: .regular
        case .symbolicLink: .symbolicLink
        case .device(let isBlock, _, _): isBlock ? .blockDevice : .characterDevice
        case .fifo: .fifo
        }
    }

    /// `st_mode`: the permissions with the file type of `<sys/stat.h>`.
    var fileMode: UInt16 {
        switch payload {
        case .directory: 0o040000 | mode
        case .file: 0o100000 | mode
        case .symbolicLink: 0o120000 | mode
        case .device(let isBlock, _, _): (isBlock ? 0o060000 : 0o020000) | mode
        case .fifo: 0o010000 | mode
        }
    }
}

/// A structure being put together, little endian.
struct ErofsEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    mutating func appendZeros(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }
}

/// CRC-32C (Castagnoli), without the final inversion, as the kernel's `crc32c()` gives it.
enum CRC32C {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
    }

    static func checksum(_ bytes: ArraySlice<UInt8>, seed: UInt32 = ~0) -> UInt32 {
        bytes.reduce(seed) { crc, byte in crc >> 8 ^ table[Int((crc ^ UInt32(byte)) & 0xff)] }
    }
}
