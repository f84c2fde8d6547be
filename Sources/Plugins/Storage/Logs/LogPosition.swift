import AgentCore
import Glibc
import SystemPackage

/// How much of a boot's output is in a log, and how long which file was then.
///
/// It is written after each stretch of output, over itself and in one piece. When the agent was killed between the two,
/// the file is cut to the length that stands here, and the guest sends the stretch again.
struct LogPosition: Equatable {
    private static let size = 96

    var boot: Int
    var offset: UInt64
    var generation: Int
    var length: Int

    init(boot: Int, offset: UInt64, generation: Int, length: Int) {
        self.boot = boot
        self.offset = offset
        self.generation = generation
        self.length = length
    }

    /// Nil if there is none that can be read.
    init?(reading descriptor: FileDescriptor) throws {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        let count = try bytes.withUnsafeMutableBytes { try descriptor.read(fromAbsoluteOffset: 0, into: $0) }
        let fields = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ").prefix(4)
        guard count == Self.size, fields.count == 4, let boot = Int(fields[0]), let offset = UInt64(fields[1]),
            let generation = Int(fields[2]), let length = Int(fields[3])
        else { return nil }
        self.init(boot: boot, offset: offset, generation: generation, length: length)
    }

    func write(to descriptor: FileDescriptor) throws {
        var bytes = Array("\(boot) \(offset) \(generation) \(length) ".utf8)
        bytes += [UInt8](repeating: 32, count: max(1, Self.size - bytes.count) - 1) + [10]
        try bytes.withUnsafeBytes { try Files.write($0, to: descriptor, at: 0) }
    }
}
