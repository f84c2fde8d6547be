public import AgentCore
import Glibc
public import SystemPackage
import Tar

/// Imports images from files: an OCI layout in a tar, what `docker save` writes, or the tar of a root filesystem; each
/// plain, or compressed with gzip or zstd.
///
/// One pass finds out what it is and checks every name. Layers are then copied to the store and hashed on the way; a
/// root filesystem is itself the only layer.
public struct ArchiveReader: ImageArchiveReader {
    private let store: ContentStore
    private let limits: ImageLimits

    public init(store: ContentStore, configuration: StorageConfiguration) {
        self.store = store
        limits = configuration.imageLimits
    }

    public func read(
        _ archive: FilePath,
        platform: Platform,
        basedOn base: Digest?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        do {
            return try await Blocking.long("image-import") { cancellation in
                let work = ArchiveImport(
                    archive,
                    platform: platform,
                    base: base,
                    store: store,
                    limits: limits,
                    cancellation: cancellation
                )
                return try work.run(progress: progress)
            }
        } catch let failure as DecodingFailure {
            throw AgentError(.invalidArgument, code: "invalid_archive", "the archive is not an image: \(failure)")
        } catch {
            throw AgentError.wrapping(error, "cannot import the archive")
        }
    }
}

/// One import under way, on its own thread.
struct ArchiveImport {
    let archive: FilePath
    let platform: Platform
    /// Whose configuration a root filesystem gets, which it is then without a look at what is in it.
    let base: Digest?
    let store: ContentStore
    let limits: ImageLimits
    let cancellation: Cancellation

    init(
        _ archive: FilePath,
        platform: Platform,
        base: Digest?,
        store: ContentStore,
        limits: ImageLimits,
        cancellation: Cancellation
    ) {
        self.archive = archive
        self.platform = platform
        self.base = base
        self.store = store
        self.limits = limits
        self.cancellation = cancellation
    }

    func run(progress: @escaping @Sendable (ImageProgress) -> Void) throws -> FetchedImage {
        guard let status = try Files.status(archive) else {
            throw AgentError(.notFound, code: "archive_not_found", "there is no archive \(archive)")
        }
        let meter = ProgressMeter(status: .pulling, total: Int(status.st_size), report: progress)
        let compression = try LayerBlob.Compression.detect(in: archive)
        let file = HashingSource(try FileSource(archive, cancellation: cancellation, progress: meter))
        let catalog = try ArchiveCatalog(reading: try compression.unpack(file, limits: limits), limits: limits)
        defer { meter.finish() }
        let isImage = catalog.has("index.json") && catalog.has("oci-layout") || catalog.has("manifest.json")
        guard isImage, base == nil else {
            return try RootFilesystemImport(self).run(
                catalog,
                compression: compression,
                digest: try file.digest(),
                size: file.count
            )
        }
        guard compression != .none else { return try readLayout(catalog, in: archive) }
        // Members are read by their place, and a compressed stream has none: it is unpacked first.
        let unpacked = store.temporaryPath("archive-unpacked")
        defer { unlink(unpacked.string) }
        try unpack(compression, to: unpacked)
        return try readLayout(catalog, in: unpacked)
    }

    private func readLayout(_ catalog: ArchiveCatalog, in path: FilePath) throws -> FetchedImage {
        let contents = ArchiveContents(path: path, catalog: catalog, store: store, cancellation: cancellation)
        guard catalog.has("index.json"), catalog.has("oci-layout") else {
            return try DockerArchiveImport(contents, platform: platform).run()
        }
        return try LayoutImport(contents, platform: platform, limits: limits).run()
    }

    private func unpack(_ compression: LayerBlob.Compression, to path: FilePath) throws {
        let source = try compression.unpack(try FileSource(archive, cancellation: cancellation), limits: limits)
        try Files.translating("cannot unpack the archive to \(path)") {
            let output = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite]
            )
            try output.closeAfter {
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
                defer { buffer.deallocate() }
                var offset = 0
                while true {
                    let count = try source.read(into: buffer)
                    if count == 0 { break }
                    try store.budget.charge(count)
                    try Files.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), to: output, at: offset)
                    offset += count
                }
            }
        }
    }
}
