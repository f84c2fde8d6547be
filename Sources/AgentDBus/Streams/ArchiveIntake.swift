import AgentCore
import DBus
import Glibc
import Logging
import NIOCore
import NIOPosix
import SystemPackage

/// Where archives go, and how large they may become.
protocol ArchiveDestination: Sendable {
    /// A new file.
    func newArchiveFile() async throws -> FilePath
    /// Whether `more` bytes may come after `received` ones.
    ///
    /// - Throws: `storageFull`, `quotaExceeded`, `invalidArgument`.
    func requireRoom(for more: ByteSize, after received: ByteSize) async throws
}

extension ImagesService: ArchiveDestination {
    func requireRoom(for more: ByteSize, after received: ByteSize) async throws { try await requireRoom(for: more) }
}

/// The archive that one volume is made of.
struct VolumeArchives: ArchiveDestination {
    let volumes: VolumesService
    let size: ByteSize

    func newArchiveFile() async throws -> FilePath { try await volumes.newArchiveFile() }

    func requireRoom(for more: ByteSize, after received: ByteSize) async throws {
        var bound = VolumeArchiveBound(volume: size)
        try bound.take(received.bytes)
        try bound.check(more.bytes)
    }
}

/// Takes an archive from a caller's descriptor into a file of the agent's, through no more memory than a buffer.
struct ArchiveIntake: Sendable {
    /// Bytes that are received before it is asked whether there is room for more.
    private static let roomStep = 8 << 20

    let destination: any ArchiveDestination
    let threads: NIOThreadPool
    let logger: Logger

    /// Looks at what a caller has passed.
    ///
    /// - Throws: As ``DescriptorSource/init(_:)``; `storageFull`, `quotaExceeded`.
    func source(_ descriptor: UnixDescriptor) async throws -> DescriptorSource {
        let source = try await DescriptorSource(descriptor)
        if case .file(_, let size) = source {
            try await destination.requireRoom(for: ByteSize(bytes: size), after: ByteSize(bytes: 0))
        }
        return source
    }

    /// Copies it; the file is gone again if that fails.
    func receive(_ source: DescriptorSource) async throws -> FilePath {
        let path = try await destination.newArchiveFile()
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
                try await copy(source, to: file)
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

    private func copy(_ source: DescriptorSource, to file: SystemPackage.FileDescriptor) async throws {
        guard case .stream = source else {
            // There was room for all of it.
            return try await source.forEach(on: threads) { try await write($0, to: file) }
        }
        var (asked, unasked) = (0, 0)
        func ask() async throws {
            try await destination.requireRoom(for: ByteSize(bytes: unasked), after: ByteSize(bytes: asked))
            (asked, unasked) = (asked + unasked, 0)
        }
        try await source.forEach(on: threads) { bytes in
            unasked += bytes.count
            if unasked >= Self.roomStep { try await ask() }
            try await write(bytes, to: file)
        }
        if unasked > 0 { try await ask() }
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
