public import AgentCore
import Foundation
import Glibc
import Synchronization
public import SystemPackage

/// What the images need on this host's disk, by digest.
///
/// Under the data directory:
///
/// - `blobs/sha256/<hex>`: manifests, configurations and layers, each verified before it got its name;
/// - `disks/<hex>.erofs`: root disks, by the digest of the manifest;
/// - `incoming/`: whatever is not finished; emptied at start but for the parts of blobs (`partial-<hex>`) that a pull can
///   take up again;
/// - `kept/<hex>`: marks on blobs that were pushed, see ``ContentStore/pin(_:)``.
///
/// Files are written beside their place, synced and renamed, so that a name never stands for half a file. Layers are of
/// no use once the disk is built and go then; manifest and configuration stay with the disk. Of the layers that are
/// wanted by a fetch or build under way, a count is kept, so that two images that share one don't take it from each
/// other, and what looks for unneeded blobs takes none of them. Blobs that nobody can know yet to be part of an image,
/// as the documents of one that is being read, are leased: they stay for a while whoever needs them.
public final class ContentStore: ImageStore {
    /// What keeps blobs from being removed although no image that is known needs them.
    struct Holds {
        var wanted: [Digest: Int] = [:]
        var leases: [Digest: ContinuousClock.Instant] = [:]

        func keep(_ digest: Digest) -> Bool {
            wanted[digest] != nil || leases[digest].map { ContinuousClock.now < $0 } ?? false
        }
    }

    /// How long a blob may wait for the image that it is part of to be known.
    private static let leaseTime = Duration.seconds(15 * 60)

    /// Marks of the blobs that are kept although nothing needs them; see ``pin(_:)``.
    let kept: FilePath
    /// How long.
    let retention: Duration
    private let incoming: FilePath
    private let blobs: FilePath
    private let disks: FilePath
    let holds = Mutex(Holds())
    /// How much all of it may take.
    let budget: StorageBudget
    /// Disks that were begun while their images were fetched, see ``DiskDraft``.
    let drafts = Mutex<[Digest: DiskDraft]>([:])
    /// Whose parts are being written.
    private let partials = Mutex<Set<Digest>>([])

    /// Makes the directories and empties `incoming`.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration) throws {
        let data = configuration.dataDirectory
        incoming = data.appending("incoming")
        blobs = data.appending("blobs").appending("sha256")
        disks = data.appending("disks")
        kept = data.appending("kept")
        retention = configuration.uploadLimits.retention
        for directory in [data, incoming, data.appending("blobs"), blobs, disks, kept] {
            try Files.makeDirectory(directory)
        }
        for name in try PartialBlobs.expired(in: incoming) { try Files.remove(incoming.appending(name)) }
        budget = StorageBudget(limit: configuration.maximumImageStorage, directories: [blobs, disks, incoming])
    }

    // MARK: Paths

    func blobPath(_ digest: Digest) -> FilePath { blobs.appending(digest.hex) }

    func diskPath(_ digest: Digest) -> FilePath { disks.appending("\(digest.hex).erofs") }

    /// A name in `incoming` that nobody has.
    func temporaryPath(_ what: String) -> FilePath { incoming.appending("\(what)-\(UUID().uuidString)") }

    /// Of the beginning of a blob.
    func partialPath(_ digest: Digest) -> FilePath { incoming.appending(PartialBlobs.name(digest)) }

    /// Whether the caller may write ``partialPath(_:)`` until ``releasePartial(_:)``; nobody else may meanwhile.
    func claimPartial(_ digest: Digest) -> Bool { partials.withLock { $0.insert(digest).inserted } }

    func releasePartial(_ digest: Digest) { partials.withLock { _ = $0.remove(digest) } }

    func isIncoming(_ path: FilePath) -> Bool { path.removingLastComponent() == incoming }

    // MARK: Blobs (on a thread that may block)

    /// Keeps small bytes under their digest.
    func put(_ bytes: [UInt8]) throws -> Digest {
        let digest = try Digest(of: bytes)
        lease(digest)
        if try Files.status(blobPath(digest)) == nil {
            try Files.write(bytes, to: blobPath(digest), beside: temporaryPath("blob"))
        }
        return digest
    }

    /// Small bytes kept before.
    func small(_ digest: Digest) throws -> [UInt8]? { try Files.contents(blobPath(digest), limit: OCI.maximumDocument) }

    /// The configuration of an image; nil if that, or its manifest, is not there.
    func configuration(of image: Digest) throws -> [UInt8]? {
        try small(image).map { try OCI.Manifest(parsing: $0) }.flatMap { try small($0.config.digest) }
    }

    /// The size of a blob; nil if it is not there.
    func size(of digest: Digest) throws -> Int? { try Files.status(blobPath(digest)).map { Int($0.st_size) } }

    /// Gives a complete, synced and verified file its name.
    func adopt(_ file: FilePath, as digest: Digest) throws { try Files.rename(file, to: blobPath(digest)) }

    func existingRootDisk(of digest: Digest) throws -> RootDisk? {
        try Files.status(diskPath(digest)).map {
            RootDisk(path: diskPath(digest), size: ByteSize(bytes: Int($0.st_size)))
        }
    }

    // MARK: Layers that are wanted

    /// Says that an image is going to be built from `layers`.
    ///
    /// To be called before it is looked whether they are there.
    func want(_ layers: [Digest]) {
        holds.withLock { holds in
            for layer in Set(layers) { holds.wanted[layer, default: 0] += 1 }
        }
    }

    /// Takes back ``want(_:)``.
    func unwant(_ layers: [Digest]) {
        holds.withLock { holds in
            for layer in Set(layers) { holds.wanted[layer] = holds.wanted[layer].flatMap { $0 > 1 ? $0 - 1 : nil } }
        }
    }

    /// Keeps a blob for a while, until the image that it is part of is known.
    ///
    /// To be called before it is stored, or looked for. The end of a build of that image ends it, too.
    func lease(_ digest: Digest) {
        holds.withLock { $0.leases[digest] = .now + Self.leaseTime }
    }

    /// The end of a build, for which the layers were wanted.
    ///
    /// - Parameters:
    ///   - image: What was built.
    ///   - dropping: Remove the layers that nobody else wants.
    func release(_ image: FetchedImage, dropping: Bool) async {
        let layers = image.layers.filter { $0.path.removingLastComponent() == blobs }
            .compactMap { $0.path.lastComponent.flatMap { Digest(hex: $0.string) } }
        unwant(layers)
        // What cannot be read or removed now is found again by removeAll(except:).
        _ = try? await Blocking.regardless { [self] in
            let manifest = try? small(image.digest).map { try OCI.Manifest(parsing: $0) }
            // Under the lock, so that nobody who says in this moment that he wants one finds it and loses it.
            holds.withLock { holds in
                for document in [image.digest, manifest?.config.digest].compactMap(\.self) {
                    holds.leases[document] = nil
                }
                guard dropping else { return }
                for layer in Set(layers) where !holds.keep(layer) && !isPinned(layer) { unlink(blobPath(layer).string) }
            }
        }
    }

    /// Refuses layers that are not here and would not fit.
    ///
    /// - Throws: As ``requireRoom(for:)``, before any of them is downloaded.
    func requireRoom(forMissing layers: [OCI.Descriptor]) throws {
        guard budget.limit != nil else { return }
        var seen: Set<Digest> = []
        var missing = 0
        for layer in layers where seen.insert(layer.digest).inserted {
            // Sizes are the registry's word; their sum is bounded by who calls.
            guard try size(of: layer.digest) != layer.size else { continue }
            let part = try Files.status(partialPath(layer.digest)).map { Int($0.st_size) } ?? 0
            missing += max(0, layer.size - part)
        }
        try budget.require(missing)
    }

    // MARK: ImageStore

    public func newArchiveFile() async throws -> FilePath {
        try await Blocking.short { [self] in
            let path = temporaryPath("archive")
            return try Files.translating("cannot make \(path)") {
                try FileDescriptor.open(
                    path,
                    .writeOnly,
                    options: [.create, .exclusiveCreate, .closeOnExec],
                    permissions: [.ownerReadWrite]
                ).close()
                return path
            }
        }
    }

    public func append(_ bytes: [UInt8], to archive: FilePath) async throws {
        try requireIncoming(archive)
        try await Blocking.short { [self] in
            try budget.charge(bytes.count)
            try Files.translating("cannot write \(archive)") {
                let file = try FileDescriptor.open(archive, .writeOnly, options: [.append, .closeOnExec, .noFollow])
                _ = try file.closeAfter { try file.writeAll(bytes) }
            }
        }
    }

    private func requireIncoming(_ archive: FilePath) throws {
        guard isIncoming(archive) else {
            throw AgentError(.internal, "\(archive) was not made by the image store and is left alone")
        }
    }

    public func discard(_ archive: FilePath) async throws {
        try requireIncoming(archive)
        _ = try await Blocking.regardless { try Files.remove(archive) }
    }

    public func rootDisk(of digest: Digest) async throws -> RootDisk? {
        try await Blocking.short { [self] in try existingRootDisk(of: digest) }
    }

    public func abandon(_ image: FetchedImage) async {
        await takeDraft(of: image.digest)?.discard()
        await release(image, dropping: true)
    }

    public func removeAll(except digests: Set<Digest>) async throws -> ByteSize {
        try await Blocking.short { [self] in ByteSize(bytes: try sweep(except: digests, removing: true)) }
    }

    public func removable(except digests: Set<Digest>) async throws -> ByteSize {
        try await Blocking.short { [self] in ByteSize(bytes: try sweep(except: digests, removing: false)) }
    }

    public func usage() async throws -> ImageStorageUsage {
        try await Blocking.short { [self] in
            var usage = ImageStorageUsage(limit: budget.limit)
            for name in try Files.names(in: disks) {
                guard let digest = Digest(hex: name.prefix { $0 != "." }) else { continue }
                usage.disks[digest] = ByteSize(bytes: try Files.allocated(disks.appending(name)))
            }
            for name in try Files.names(in: blobs) {
                usage.blobs.bytes += try Files.allocated(blobs.appending(name))
                usage.blobCount += 1
            }
            for name in try Files.names(in: incoming) {
                usage.incoming.bytes += try Files.allocated(incoming.appending(name))
                usage.incomingCount += 1
            }
            return usage
        }
    }

    public func requireRoom(for size: ByteSize) async throws {
        try await Blocking.short { [self] in try budget.require(size.bytes) }
    }

    /// Finds, and removes, what none of `digests` needs.
    ///
    /// What is in `incoming` belongs to work under way, which removes it itself, or the next start does; parts of blobs
    /// belong to images.
    ///
    /// - Returns: The bytes on the host's disk that it took.
    private func sweep(except digests: Set<Digest>, removing: Bool) throws -> Int {
        var needed = digests
        for digest in digests {
            guard let manifest = try small(digest).flatMap({ try? OCI.Manifest(parsing: $0) }) else { continue }
            needed.insert(manifest.config.digest)
            if try existingRootDisk(of: digest) == nil { needed.formUnion(manifest.layers.map(\.digest)) }
        }
        var freed = 0
        for name in try Files.names(in: blobs) {
            let digest = Digest(hex: name)
            guard digest.map(needed.contains) != true else { continue }
            let path = blobs.appending(name)
            let size = try Files.allocated(path)
            freed += try holds.withLock { holds in
                if let digest, holds.keep(digest) || isPinned(digest) { return 0 }
                return try !removing || Files.remove(path) ? size : 0
            }
        }
        for name in try Files.names(in: incoming) {
            guard let digest = PartialBlobs.digest(name), !needed.contains(digest) else { continue }
            freed += try partials.withLock { claimed in
                guard !claimed.contains(digest), !holds.withLock({ $0.keep(digest) }) else { return 0 }
                let path = incoming.appending(name)
                let size = try Files.allocated(path)
                return try !removing || Files.remove(path) ? size : 0
            }
        }
        let disksNeeded = Set(digests.map { "\($0.hex).erofs" })
        for name in try Files.names(in: disks) where !disksNeeded.contains(name) {
            let path = disks.appending(name)
            let size = try Files.allocated(path)
            if try !removing || Files.remove(path) { freed += size }
        }
        holds.withLock { holds in holds.leases = holds.leases.filter { ContinuousClock.now < $0.value } }
        return freed
    }
}
