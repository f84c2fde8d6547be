import AgentCore
import DBus
import Glibc
import Logging
import NIOCore
import NIOPosix
import SystemPackage

/// Takes an archive from a caller's descriptor into a file of the agent's, through no more memory than a buffer.
struct ArchiveIntake: Sendable {
    /// What an archive comes from.
    enum Source: Sendable {
        /// Of this size; read at its own offsets, on threads that may block.
        case file(UnixDescriptor, size: Int)
        /// A pipe or a socket.
        case stream(NIOAsyncChannel<ByteBuffer, ByteBuffer>)
    }

    /// Bytes that are received before it is asked whether there is room for more.
    private static let roomStep = 8 << 20
    private static let chunk = 1 << 20

    let images: ImagesService
    let threads: NIOThreadPool
    let logger: Logger

    /// Looks at what a caller has passed.
    ///
    /// - Throws: `invalidArgument` for anything but a file, a pipe or a socket; `storageFull`, `quotaExceeded`.
    func source(_ descriptor: UnixDescriptor) async throws -> Source {
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
        case S_IFREG:
            try await images.requireRoom(for: ByteSize(bytes: Int(status.st_size)))
            return .file(held, size: Int(status.st_size))
        case S_IFIFO, S_IFSOCK:
            guard let number = held.take() else { throw AgentError(.internal, "the descriptor is gone") }
            return .stream(try await Pipes.reading(number))
        default:
            throw AgentError(.invalidArgument, "an archive is a file, a pipe or a socket, which the descriptor is not")
        }
    }

    /// Copies it; the file is gone again if that fails.
    func receive(_ source: Source) async throws -> FilePath {
        let path = try await images.newArchiveFile()
        do {
            let file = try await threads.runIfActive {
                try SystemPackage.FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .closeOnExec],
                    permissions: .ownerReadWrite
                )
            }
            do {
                switch source {
                case .file(let descriptor, let size): try await copy(descriptor, size, to: file)
                case .stream(let channel): try await copy(channel, to: file)
                }
            } catch {
                try await threads.runIfActive { try file.close() }
                throw error
            }
            try await threads.runIfActive { try file.close() }
            return path
        } catch {
            await discard(path)
            throw error
        }
    }

    private func copy(_ descriptor: UnixDescriptor, _ size: Int, to file: SystemPackage.FileDescriptor) async throws {
        guard let number = descriptor.take() else { throw AgentError(.internal, "the descriptor is gone") }
        let held = UnixDescriptor(owning: number)
        defer { withExtendedLifetime(held) {} }
        let source = SystemPackage.FileDescriptor(rawValue: number)
        var offset: Int64 = 0
        // Not beyond what there was room for, however it grows meanwhile.
        while offset < Int64(size) {
            let (start, length) = (offset, min(Self.chunk, size - Int(offset)))
            let bytes = try await threads.runIfActive {
                try [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
                    count = try source.read(fromAbsoluteOffset: start, into: UnsafeMutableRawBufferPointer(buffer))
                }
            }
            guard !bytes.isEmpty else { break }
            try await write(bytes, to: file)
            offset += Int64(bytes.count)
        }
    }

    private func copy(_ channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>, to file: SystemPackage.FileDescriptor)
        async throws
    {
        try await channel.executeThenClose { inbound, _ in
            var unasked = 0
            for try await buffer in inbound {
                unasked += buffer.readableBytes
                if unasked >= Self.roomStep {
                    try await images.requireRoom(for: ByteSize(bytes: unasked))
                    unasked = 0
                }
                try await write(Array(buffer.readableBytesView), to: file)
            }
            if unasked > 0 { try await images.requireRoom(for: ByteSize(bytes: unasked)) }
        }
    }

    private func write(_ bytes: [UInt8], to file: SystemPackage.FileDescriptor) async throws {
        do {
            try await threads.runIfActive { _ = try file.writeAll(bytes) }
        } catch let error as Errno where error == .noSpace || error == .diskQuotaExceeded {
            throw AgentError(.storageFull, "the host's disk is full: the archive could not be received")
        }
    }

    private func discard(_ path: FilePath) async {
        do {
            try await threads.runIfActive {
                guard unlink(path.string) != 0, errno != ENOENT else { return }
                throw Errno(rawValue: errno)
            }
        } catch {
            logger.warning("a broken archive is not removed", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }
}
