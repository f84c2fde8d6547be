import AgentCore
import DBus
import Logging
import NIOPosix
import SystemPackage
import Uploads

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
            try await UploadFile.with(path, on: threads) { try await copy(source, to: $0) }
            return path
        } catch {
            await UploadFile.discard(path, on: threads, logger)
            throw error
        }
    }

    private func copy(_ source: DescriptorSource, to file: UploadFile) async throws {
        guard case .stream = source else {
            // There was room for all of it.
            return try await source.forEach(on: threads) { try await file.append($0) }
        }
        var (asked, unasked) = (0, 0)
        func ask() async throws {
            try await destination.requireRoom(for: ByteSize(bytes: unasked), after: ByteSize(bytes: asked))
            (asked, unasked) = (asked + unasked, 0)
        }
        try await source.forEach(on: threads) { bytes in
            unasked += bytes.count
            if unasked >= Self.roomStep { try await ask() }
            try await file.append(bytes)
        }
        if unasked > 0 { try await ask() }
    }
}
