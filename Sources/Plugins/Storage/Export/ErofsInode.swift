import AgentCore
import Tar

/// An inode as it is read from a root disk.
struct ErofsInode {
    enum Kind: UInt16 {
        case fifo = 0o010000
        case characterDevice = 0o020000
        case directory = 0o040000
        case blockDevice = 0o060000
        case regular = 0o100000
        case symbolicLink = 0o120000
    }

    let number: UInt64
    let kind: Kind
    /// Permissions without the type.
    let mode: UInt16
    let owner: UInt32
    let group: UInt32
    let modified: FileTime
    let links: Int
    let size: Int
    /// `raw_blkaddr`, the number of compressed blocks, or the device number.
    let union: UInt32
    /// Where on the disk the last part of the contents is, if it follows the inode.
    let tailOffset: Int?
    /// Where on the disk the index of compressed contents is.
    let indexOffset: Int?
    let attributesOffset: Int
    let attributesSize: Int

    /// As `new_decode_dev` of `include/linux/kdev_t.h`.
    var device: (major: UInt32, minor: UInt32) { (union >> 8 & 0xfff, union & 0xff | union >> 12 & 0xfff00) }
}

/// Takes numbers out of a structure, little endian.
struct ErofsDecoder {
    private let bytes: [UInt8]
    private var position: Int

    init(_ bytes: [UInt8], at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// - Throws: ``DecodingFailure`` where the structure ends too early.
    mutating func next<T: FixedWidthInteger>(_: T.Type = T.self) throws -> T {
        try take(MemoryLayout<T>.size).reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }

    mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count >= 0, count <= bytes.count - position else { throw DecodingFailure("a structure is cut off") }
        defer { position += count }
        return bytes[position..<position + count]
    }

    mutating func skip(_ count: Int) throws { _ = try take(count) }
}
