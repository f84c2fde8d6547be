public import SystemPackage

/// The processor and operating system that an image is for, in OCI's (Go's) words.
public struct Platform: Sendable, Hashable, Codable, CustomStringConvertible {
    public var os: String
    public var architecture: String
    public var variant: String?

    public init(os: String, architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// The host's.
    public static var host: Platform {
        #if arch(x86_64)
        Platform(os: "linux", architecture: "amd64")
        #elseif arch(arm64)
        Platform(os: "linux", architecture: "arm64", variant: "v8")
        #endif
    }

    /// As `linux/arm64/v8`; what an image says of itself may be of any length, and is cut where no platform's name ends.
    public var description: String {
        [os, architecture, variant].compactMap { $0?.prefix(Self.longestWord) }.joined(separator: "/")
    }

    private static let longestWord = 32
}

/// A layer that is on this host's disk and whose digest was verified.
public struct LayerBlob: Sendable, Hashable {
    public enum Compression: String, Sendable {
        case none
        case gzip
        case zstd
    }

    public var path: FilePath
    public var compression: Compression
    /// Bytes in `path`.
    public var size: Int
    /// Of the uncompressed tar, from the image configuration; nil where there is none (a root filesystem tar).
    public var diffID: Digest?

    public init(path: FilePath, compression: Compression, size: Int, diffID: Digest?) {
        self.path = path
        self.compression = compression
        self.size = size
        self.diffID = diffID
    }
}

/// An image whose parts are all on this host's disk and verified.
public struct FetchedImage: Sendable, Hashable {
    /// Of the manifest for this platform.
    public var digest: Digest
    public var configuration: ImageConfiguration
    /// Bottom first.
    public var layers: [LayerBlob]
    /// The reference that the archive itself names, if it names one.
    public var name: ImageReference?

    public init(digest: Digest, configuration: ImageConfiguration, layers: [LayerBlob], name: ImageReference? = nil) {
        self.digest = digest
        self.configuration = configuration
        self.layers = layers
        self.name = name
    }
}

/// Gets images from registries.
public protocol ImageRegistry: Sendable {
    /// Asks the registry which manifest a reference stands for on this platform. Nothing is stored.
    ///
    /// - Parameters:
    ///   - reference: What is asked for.
    ///   - platform: That the image has to run on.
    ///   - credentials: For this call and this reference's registry only; nil for those that the backend is configured
    ///     with.
    /// - Returns: The manifest's digest.
    /// - Throws: ``AgentError``: `notFound` for an image that isn't there, `unauthenticated`, `rateLimited`, `unavailable`
    ///   for a registry that does not answer or whose certificate is refused, `notSupported` if it has nothing for this
    ///   platform.
    func resolve(
        _ reference: ImageReference,
        platform: Platform,
        credentials: RegistryCredentials?
    ) async throws -> Digest

    /// Downloads what is missing of an image and verifies all of it.
    ///
    /// - Parameters:
    ///   - reference: Where it is.
    ///   - digest: The manifest, as resolved before.
    ///   - credentials: As for ``resolve(_:platform:credentials:)``.
    ///   - progress: Called from any thread, at most a few times a second and at the end.
    /// - Returns: The image, all of whose parts are here.
    /// - Throws: As ``resolve(_:platform:credentials:)``; `invalidArgument` with code `digest_mismatch` for contents that are not what
    ///   they claim; `storageFull`. Partial downloads are kept only where a later call can use them.
    func fetch(
        _ reference: ImageReference,
        digest: Digest,
        credentials: RegistryCredentials?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage
}

extension ImageRegistry {
    /// ``resolve(_:platform:credentials:)`` with the configured credentials.
    public func resolve(_ reference: ImageReference, platform: Platform) async throws -> Digest {
        try await resolve(reference, platform: platform, credentials: nil)
    }

    /// ``fetch(_:digest:credentials:progress:)`` with the configured credentials.
    public func fetch(
        _ reference: ImageReference,
        digest: Digest,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        try await fetch(reference, digest: digest, credentials: nil, progress: progress)
    }
}

/// Reads images from files: an OCI layout in a tar, a `docker save` archive, or the tar of a root filesystem, each also
/// compressed with gzip or zstd.
///
/// Which it is, is seen from the contents.
public protocol ImageArchiveReader: Sendable {
    /// Takes an archive in and verifies it; the file itself is no longer needed afterwards.
    ///
    /// - Parameters:
    ///   - archive: The file.
    ///   - platform: That the image has to run on.
    ///   - base: nil where the contents say what the archive is. Otherwise it is the tar of a root filesystem, whatever is in
    ///     it, and gets the configuration of this image, which is here.
    ///   - progress: Called from any thread, at most a few times a second and at the end.
    /// - Returns: The image, all of whose parts are here.
    /// - Throws: ``AgentError`` `invalidArgument`: `invalid_archive` with what is wrong and where, `digest_mismatch`;
    ///   `notFound` if the configuration of `base` is not here.
    func read(
        _ archive: FilePath,
        platform: Platform,
        basedOn base: Digest?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage
}

extension ImageArchiveReader {
    /// ``read(_:platform:basedOn:progress:)`` of an archive that says for itself what it is.
    public func read(
        _ archive: FilePath,
        platform: Platform,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        try await read(archive, platform: platform, basedOn: nil, progress: progress)
    }
}

/// Turns layers into a root disk.
public protocol ImageBuilder: Sendable {
    /// Builds the root disk of an image; one that is there already is used as it is.
    ///
    /// The layers are not needed afterwards, and kept no longer than another image needs them.
    ///
    /// The disk appears under its final name complete or not at all, also over `kill -9`.
    ///
    /// - Returns: Its path and size.
    /// - Throws: ``AgentError`` `invalidArgument` with code `invalid_layer` for hostile or broken layers, saying which
    ///   layer and entry; `storageFull`.
    func build(
        _ image: FetchedImage,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> RootDisk
}

/// How the files in root disks are kept.
public enum RootDiskCompression: String, Sendable, CaseIterable {
    /// As they are: quickest to build and to read.
    case none
    /// Compressed with LZ4, those that get smaller by it.
    case lz4
}

/// A read-only root disk.
public struct RootDisk: Sendable, Hashable {
    public var path: FilePath
    public var size: ByteSize

    public init(path: FilePath, size: ByteSize) {
        self.path = path
        self.size = size
    }
}

/// The images on this host's disk, by digest.
public protocol ImageStore: Sendable {
    /// A new empty file for an archive that is being received; removed by ``discard(_:)`` or the next start.
    func newArchiveFile() async throws -> FilePath
    /// Writes behind what is in a file made by ``newArchiveFile()``.
    ///
    /// - Throws: ``AgentError`` `storageFull`, with code `image_storage_full` if it would exceed the configured limit.
    func append(_ bytes: [UInt8], to archive: FilePath) async throws
    /// Removes a file made by ``newArchiveFile()``, also in a task that was cancelled. Idempotent.
    func discard(_ archive: FilePath) async throws

    /// The root disk of an image, nil if it was not built.
    func rootDisk(of digest: Digest) async throws -> RootDisk?

    /// Removes root disks and blobs that none of `digests` needs.
    ///
    /// Beside fetches and builds under way: the layers that they want stay, and so does what was stored a moment ago and
    /// may be part of an image that nobody knows yet. Nothing that `digests` lacks may become needed meanwhile.
    ///
    /// - Returns: The bytes that came free.
    func removeAll(except digests: Set<Digest>) async throws -> ByteSize

    /// The bytes that ``removeAll(except:)`` would free; removes nothing.
    func removable(except digests: Set<Digest>) async throws -> ByteSize

    /// Lets go of an image that was fetched or read and is not going to be built; what it brought is removable then.
    func abandon(_ image: FetchedImage) async

    /// What all of it takes of the host's disk at this moment.
    func usage() async throws -> ImageStorageUsage

    /// Asks whether so much more may be stored; to be asked before it is received.
    ///
    /// - Throws: ``AgentError`` `storageFull` with code `image_storage_full` if it would exceed the configured limit.
    func requireRoom(for size: ByteSize) async throws
}

/// What images take of the host's disk: blocks, not lengths, so that holes count nothing.
public struct ImageStorageUsage: Sendable, Hashable {
    /// Of each root disk.
    public var disks: [Digest: ByteSize]
    /// Manifests, configurations, and layers that were not converted yet.
    public var blobs: ByteSize
    public var blobCount: Int
    /// What is being received, unpacked or written.
    public var incoming: ByteSize
    public var incomingCount: Int
    /// The most that all of it may take; nil is without a limit.
    public var limit: ByteSize?

    public init(
        disks: [Digest: ByteSize] = [:],
        blobs: ByteSize = ByteSize(bytes: 0),
        blobCount: Int = 0,
        incoming: ByteSize = ByteSize(bytes: 0),
        incomingCount: Int = 0,
        limit: ByteSize? = nil
    ) {
        self.disks = disks
        self.blobs = blobs
        self.blobCount = blobCount
        self.incoming = incoming
        self.incomingCount = incomingCount
        self.limit = limit
    }

    /// All of it.
    public var total: ByteSize {
        ByteSize(bytes: disks.values.reduce(blobs.bytes + incoming.bytes) { $0 + $1.bytes })
    }
}
