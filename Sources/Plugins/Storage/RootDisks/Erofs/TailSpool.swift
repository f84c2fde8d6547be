import AgentCore
import Glibc
import SystemPackage

/// Where the tails of files, and the indexes of compressed ones, wait, in a file without a name, until they are put behind
/// their inodes.
///
/// They come in the archive's order and are wanted in the disk's, directory by directory in both: so they are read in a
/// few windows, of which each serves many.
final class TailSpool {
    private static let windowSize = 256 << 10
    /// 4 MiB in all.
    private static let windowCount = 16

    private let descriptor: FileDescriptor
    private let path: FilePath
    /// What was appended and is not in the file yet.
    private var pending: [UInt8] = []
    private var written = 0
    /// Each at the place of its number among as many; longer than their distance, so that a tail lies in one.
    private var windows: [(number: Int, bytes: [UInt8])]

    /// - Throws: ``AgentError`` if there can be none.
    init(_ path: FilePath) throws {
        self.path = path
        descriptor = try Files.translating("cannot make \(path)") {
            let descriptor = try FileDescriptor.open(
                path,
                .readWrite,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            // It goes with the descriptor, also over `kill -9`.
            unlink(path.string)
            return descriptor
        }
        windows = Array(repeating: (-1, []), count: Self.windowCount)
    }

    deinit {
        close(descriptor.rawValue)
    }

    /// Where the next bytes will be.
    var end: Int { written + pending.count }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        pending.append(contentsOf: bytes)
        if pending.count >= Self.windowSize { try flush() }
    }

    /// Hands over what was appended at a place.
    ///
    /// - Parameters:
    ///   - offset: Where ``end`` was then.
    ///   - count: Bytes, a block at most.
    ///   - body: Gets them.
    /// - Throws: ``AgentError``; what `body` throws.
    func read(at offset: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        if !pending.isEmpty { try flush() }
        let number = offset / Self.windowSize
        let place = number % Self.windowCount
        if windows[place].number != number {
            windows[place] = (-1, [])
            windows[place] = (number, try load(number * Self.windowSize))
        }
        let start = offset % Self.windowSize
        try windows[place].bytes.withUnsafeBytes { bytes in
            guard start + count <= bytes.count else {
                throw AgentError(.internal, "the tails of \(path) are incomplete")
            }
            try body(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
        }
    }

    private func load(_ offset: Int) throws -> [UInt8] {
        try Files.translating("cannot read the tails of \(path)") {
            try Array(unsafeUninitializedCapacity: Self.windowSize + ErofsFormat.blockSize) { buffer, filled in
                while filled < buffer.count {
                    let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
                    let count = try descriptor.read(fromAbsoluteOffset: Int64(offset + filled), into: rest)
                    if count == 0 { return }
                    filled += count
                }
            }
        }
    }

    private func flush() throws {
        try Files.translating("cannot write the tails of \(path)") {
            try pending.withUnsafeBytes { try Files.write($0, to: descriptor, at: written) }
        }
        written += pending.count
        pending.removeAll(keepingCapacity: true)
    }
}
