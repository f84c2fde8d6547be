import AgentCore
import CLinux
import Glibc
import SystemPackage

/// Writes a new disk in large steps, and has the host begin to store what is written while more is coming: so the sync
/// at the end has little left to wait for.
final class DiskOutput {
    private static let stepSize = 1 << 20
    /// Pieces of this size are written from where they are.
    private static let directSize = 128 << 10
    private static let writebackStep = 16 << 20

    let descriptor: FileDescriptor
    private let path: FilePath
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: DiskOutput.stepSize, alignment: 4096)
    /// Where the bytes in the buffer belong.
    private var offset = 0
    private var count = 0
    /// Where the bytes end that were ever written; behind it all is zero already.
    private(set) var end = 0
    private var storedEnd = 0

    /// - Parameters:
    ///   - descriptor: A new file; closed with this.
    ///   - path: For messages.
    init(_ descriptor: FileDescriptor, path: FilePath) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        buffer.deallocate()
        close(descriptor.rawValue)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        end = max(end, offset + bytes.count)
        if self.offset + count != offset || count + bytes.count > buffer.count { try flush() }
        guard bytes.count < Self.directSize else { return try writeNow(bytes, at: offset) }
        if count == 0 { self.offset = offset }
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    /// Gives the file everything.
    func flush() throws {
        guard count > 0 else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        count = 0
        try writeNow(bytes, at: offset)
    }

    /// Everything is on the host's disk when this returns.
    func sync() throws {
        try flush()
        try Files.translating("cannot sync \(path)") { try Files.check(fsync(descriptor.rawValue)) }
    }

    private func writeNow(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        // What is pending may end where this begins; it must not come later than what overwrites it.
        if count > 0 { try flush() }
        try Files.translating("cannot write \(path)") { try Files.write(bytes, to: descriptor, at: offset) }
        let written = offset + bytes.count
        guard written - storedEnd >= Self.writebackStep else { return }
        // A hint: what could not be stored, the sync tells.
        _ = clinux_start_writeback(descriptor.rawValue, Int64(storedEnd), Int64(written - storedEnd))
        storedEnd = written
    }
}
