import AgentCore
import DBus
import Glibc
import NIOCore
import NIOPosix
import SystemPackage

/// Bytes that come from a caller's descriptor, through no more memory than a buffer.
enum DescriptorSource: Sendable {
    /// Of this size; read at its own offsets, on threads that may block.
    case file(UnixDescriptor, size: Int)
    /// A pipe or a socket.
    case stream(NIOAsyncChannel<ByteBuffer, ByteBuffer>)

    private static let chunk = 1 << 20

    /// Looks at what a caller has passed.
    ///
    /// - Throws: `invalidArgument` for anything but a file, a pipe or a socket.
    init(_ descriptor: UnixDescriptor) async throws {
        guard let number = descriptor.take() else { throw AgentError(.invalidArgument, "the descriptor was closed") }
        let held = UnixDescriptor(owning: number)
        var status = stat()
        guard fstat(number, &status) == 0 else {
            throw AgentError(
                .invalidArgument,
                "the descriptor cannot be looked at: \(String(cString: strerror(errno)))"
            )
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: self = .file(held, size: Int(status.st_size))
        case S_IFIFO, S_IFSOCK:
            guard let number = held.take() else { throw AgentError(.internal, "the descriptor is gone") }
            self = .stream(try await Pipes.reading(number))
        default:
            throw AgentError(.invalidArgument, "an archive is a file, a pipe or a socket, which the descriptor is not")
        }
    }

    /// Gives all of it to `body`, piece by piece; of a file no more than it had at first.
    ///
    /// Call it once.
    func forEach(on threads: NIOThreadPool, _ body: ([UInt8]) async throws -> Void) async throws {
        switch self {
        case .file(let descriptor, let size):
            guard let number = descriptor.take() else { throw AgentError(.internal, "the descriptor is gone") }
            let held = UnixDescriptor(owning: number)
            defer { withExtendedLifetime(held) {} }
            let source = SystemPackage.FileDescriptor(rawValue: number)
            var offset: Int64 = 0
            while offset < Int64(size) {
                let (start, length) = (offset, min(Self.chunk, size - Int(offset)))
                let bytes = try await threads.runIfActive {
                    try [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
                        count = try source.read(fromAbsoluteOffset: start, into: UnsafeMutableRawBufferPointer(buffer))
                    }
                }
                guard !bytes.isEmpty else { break }
                try await body(bytes)
                offset += Int64(bytes.count)
            }
        case .stream(let channel):
            try await channel.executeThenClose { inbound, _ in
                for try await buffer in inbound { try await body(Array(buffer.readableBytesView)) }
            }
        }
    }
}
