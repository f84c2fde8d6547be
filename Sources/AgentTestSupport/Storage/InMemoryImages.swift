public import AgentCore
import Synchronization
public import SystemPackage

/// The image ports in memory: a registry, an archive reader, a builder and a store that share one set of images.
///
/// A test says what the registry has and what "archives" contain; failures and waits can be injected into each step.
public final class InMemoryImages: Sendable {
    /// A step that can be made to fail or wait.
    public enum Step: String, Sendable, CaseIterable {
        case resolve, fetch, read, build
    }

    private struct State {
        var remote: [String: FetchedImage] = [:]
        var archives: [FilePath: FetchedImage] = [:]
        var disks: Set<Digest> = []
        var blobs: Set<Digest> = []
        var configurations: [Digest: ImageConfiguration] = [:]
        var received: [FilePath: [UInt8]] = [:]
        var failures: [Step: [AgentError]] = [:]
        var gates: [Step: AsyncStream<Void>] = [:]
        var calls: [Step: Int] = [:]
        var nextArchive = 0
        var archiveDirectory: FilePath = "/nonexistent"
        var limit: ByteSize?
        var credentials: [RegistryCredentials?] = []
    }

    private let state = Mutex(State())

    /// A registry without images, a store without disks.
    public init() {}

    /// Puts an image into the registry under a name.
    public func publish(_ image: FetchedImage, as reference: ImageReference) {
        state.withLock { $0.remote[reference.description] = image }
    }

    /// Says what an archive file contains.
    public func setContents(_ image: FetchedImage, of archive: FilePath) {
        state.withLock { $0.archives[archive] = image }
    }

    /// Lets archives be received for real: into files in a directory, which stay there.
    public func receiveArchives(in directory: FilePath) {
        state.withLock { $0.archiveDirectory = directory }
    }

    /// Makes the next call of a step fail.
    public func fail(_ step: Step, with error: AgentError) {
        state.withLock { $0.failures[step, default: []].append(error) }
    }

    /// Makes calls of a step wait until the result is called.
    public func hold(_ step: Step) -> @Sendable () -> Void {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        state.withLock { $0.gates[step] = gate }
        return { open.finish() }
    }

    /// How often a step was called.
    public func calls(of step: Step) -> Int { state.withLock { $0.calls[step] ?? 0 } }

    /// What came with each call of resolve and fetch that was let through.
    public var credentials: [RegistryCredentials?] { state.withLock { $0.credentials } }

    /// The digests with a root disk.
    public var builtDisks: Set<Digest> { state.withLock { $0.disks } }

    /// Archive files that were made and not yet discarded.
    public var openArchives: Set<FilePath> { state.withLock { Set($0.archives.keys) } }

    /// What was appended to archive files that are not discarded.
    public var received: [FilePath: [UInt8]] { state.withLock { $0.received } }

    /// Loses a root disk, as a careless operator does.
    public func loseDisk(_ digest: Digest) { state.withLock { _ = $0.disks.remove(digest) } }

    /// Says how much all images may take; nil is without a limit.
    public func setLimit(_ limit: ByteSize?) { state.withLock { $0.limit = limit } }

    private func enter(_ step: Step) async throws {
        let (failure, gate) = state.withLock { state -> (AgentError?, AsyncStream<Void>?) in
            state.calls[step, default: 0] += 1
            let failure = state.failures[step]?.isEmpty == false ? state.failures[step]?.removeFirst() : nil
            return (failure, state.gates[step])
        }
        if let failure { throw failure }
        if let gate {
            for await _ in gate {}
        }
        try Task.checkCancellation()
    }
}

extension InMemoryImages: ImageRegistry {
    public func resolve(
        _ reference: ImageReference,
        platform: Platform,
        credentials: RegistryCredentials?
    ) async throws -> Digest {
        try await enter(.resolve)
        state.withLock { $0.credentials.append(credentials) }
        guard let image = state.withLock({ $0.remote[reference.description] }) else {
            throw AgentError(.notFound, "the registry has no image '\(reference)'")
        }
        return image.digest
    }

    public func fetch(
        _ reference: ImageReference,
        digest: Digest,
        credentials: RegistryCredentials?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        try await enter(.fetch)
        state.withLock { $0.credentials.append(credentials) }
        guard let image = state.withLock({ $0.remote.values.first { $0.digest == digest } }) else {
            throw AgentError(.notFound, "the registry has no manifest \(digest)")
        }
        progress(ImageProgress(status: .pulling, completed: 100, total: 100))
        state.withLock { state in
            state.blobs.insert(digest)
            state.configurations[digest] = image.configuration
        }
        return image
    }
}

extension InMemoryImages: ImageArchiveReader {
    public func read(
        _ archive: FilePath,
        platform: Platform,
        basedOn base: Digest?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        try await enter(.read)
        return try state.withLock { state in
            guard var image = state.archives[archive] else {
                throw AgentError(.invalidArgument, code: "invalid_archive", "\(archive) holds no image")
            }
            if let base {
                guard let configuration = state.configurations[base] else {
                    throw AgentError(.notFound, "the configuration of \(base) is not here")
                }
                image.configuration = configuration
            }
            state.blobs.insert(image.digest)
            state.configurations[image.digest] = image.configuration
            return image
        }
    }
}

extension InMemoryImages: ImageBuilder {
    public func build(
        _ image: FetchedImage,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> RootDisk {
        try await enter(.build)
        progress(ImageProgress(status: .converting, completed: 1, total: 1))
        state.withLock { _ = $0.disks.insert(image.digest) }
        return disk(image.digest)
    }

    private func disk(_ digest: Digest) -> RootDisk {
        RootDisk(path: FilePath("/nonexistent/\(digest.hex).erofs"), size: .mebibytes(4))
    }
}

extension InMemoryImages: ImageStore {
    public func newArchiveFile() async throws -> FilePath {
        state.withLock { state in
            state.nextArchive += 1
            let path = state.archiveDirectory.appending("archive-\(state.nextArchive)")
            state.archives[path] = FetchedImage(
                digest: Fixtures.digest("0"),
                configuration: ImageConfiguration(),
                layers: []
            )
            return path
        }
    }

    public func append(_ bytes: [UInt8], to archive: FilePath) async throws {
        try await requireRoom(for: ByteSize(bytes: bytes.count))
        state.withLock { $0.received[archive, default: []] += bytes }
    }

    public func discard(_ archive: FilePath) async throws {
        state.withLock { state in
            state.archives[archive] = nil
            state.received[archive] = nil
        }
    }

    public func rootDisk(of digest: Digest) async throws -> RootDisk? {
        state.withLock { $0.disks.contains(digest) } ? disk(digest) : nil
    }

    public func removeAll(except digests: Set<Digest>) async throws -> ByteSize {
        state.withLock { state in
            let removed = state.disks.subtracting(digests).count
            state.disks.formIntersection(digests)
            state.blobs.formIntersection(digests)
            return .mebibytes(4 * removed)
        }
    }

    public func removable(except digests: Set<Digest>) async throws -> ByteSize {
        state.withLock { .mebibytes(4 * $0.disks.subtracting(digests).count) }
    }

    public func abandon(_ image: FetchedImage) async {}

    public func usage() async throws -> ImageStorageUsage {
        state.withLock { state in
            ImageStorageUsage(
                disks: Dictionary(uniqueKeysWithValues: state.disks.map { ($0, .mebibytes(4)) }),
                limit: state.limit
            )
        }
    }

    public func requireRoom(for size: ByteSize) async throws {
        let usage = try await usage()
        guard let limit = usage.limit, usage.total.bytes + size.bytes > limit.bytes else { return }
        throw AgentError(.storageFull, code: "image_storage_full", "\(size) more than the \(limit) that are allowed")
    }
}

extension InMemoryImages: ImageArchiveWriter {
    public func archive(_ digest: Digest, as name: ImageReference) async throws -> ImageArchive {
        guard try await rootDisk(of: digest) != nil else {
            throw AgentError(.notFound, "the root disk of \(name) is not there")
        }
        let bytes = Array("\(name) \(digest)".utf8)
        return ImageArchive(
            size: bytes.count,
            pieces: AsyncThrowingStream { continuation in
                continuation.yield(bytes)
                continuation.finish()
            }
        )
    }
}
