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
/// - `incoming/`: whatever is not finished; emptied at start.
///
/// Files are written beside their place, synced and renamed, so that a name never stands for half a file. Layers are of
/// no use once the disk is built and go then; manifest and configuration stay with the disk. Of the layers that are
/// wanted by a fetch or build under way, a count is kept, so that two images that share one don't take it from each
/// other.
public final class ContentStore: ImageStore {
    private let incoming: FilePath
    private let blobs: FilePath
    private let disks: FilePath
    private let wanted = Mutex<[Digest: Int]>([:])

    /// Makes the directories and empties `incoming`.
    ///
    /// - Throws: ``AgentError`` if that is not possible.
    public init(configuration: StorageConfiguration) throws {
        let data = configuration.dataDirectory
        incoming = data.appending("incoming")
        blobs = data.appending("blobs").appending("sha256")
        disks = data.appending("disks")
        for directory in [data, incoming, data.appending("blobs"), blobs, disks] { try Files.makeDirectory(directory) }
        for name in try Files.names(in: incoming) { try Files.remove(incoming.appending(name)) }
    }

    // MARK: Paths

    func blobPath(_ digest: Digest) -> FilePath { blobs.appending(digest.hex) }

    func diskPath(_ digest: Digest) -> FilePath { disks.appending("\(digest.hex).erofs") }

    /// A name in `incoming` that nobody has.
    func temporaryPath(_ what: String) -> FilePath { incoming.appending("\(what)-\(UUID().uuidString)") }

    func isIncoming(_ path: FilePath) -> Bool { path.removingLastComponent() == incoming }

    // MARK: Blobs (on a thread that may block)

    /// Keeps small bytes under their digest.
    func put(_ bytes: [UInt8]) throws -> Digest {
        let digest = try Digest(of: bytes)
        if try Files.status(blobPath(digest)) == nil {
            try Files.write(bytes, to: blobPath(digest), beside: temporaryPath("blob"))
        }
        return digest
    }

    /// Small bytes kept before.
    func small(_ digest: Digest) throws -> [UInt8]? { try Files.contents(blobPath(digest), limit: OCI.maximumDocument) }

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
        wanted.withLock { wanted in
            for layer in Set(layers) { wanted[layer, default: 0] += 1 }
        }
    }

    /// Takes back ``want(_:)``.
    func unwant(_ layers: [Digest]) {
        wanted.withLock { wanted in
            for layer in Set(layers) { wanted[layer] = wanted[layer].flatMap { $0 > 1 ? $0 - 1 : nil } }
        }
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
        guard dropping else { return }
        // Under the lock, so that nobody who says in this moment that he wants one finds it and loses it. What cannot
        // be removed is found again by removeAll(except:).
        _ = try? await Blocking.short { [self] in
            wanted.withLock { wanted in
                for layer in Set(layers) where wanted[layer] == nil { unlink(blobPath(layer).string) }
            }
        }
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

    public func discard(_ archive: FilePath) async throws {
        guard isIncoming(archive) else {
            throw AgentError(.internal, "\(archive) was not made by the image store and is not removed")
        }
        _ = try await Blocking.short { try Files.remove(archive) }
    }

    public func rootDisk(of digest: Digest) async throws -> RootDisk? {
        try await Blocking.short { [self] in try existingRootDisk(of: digest) }
    }

    public func removeAll(except digests: Set<Digest>) async throws -> ByteSize {
        try await Blocking.short { [self] in
            var needed = digests
            for digest in digests {
                guard let manifest = try small(digest).flatMap({ try? OCI.Manifest(parsing: $0) }) else { continue }
                needed.insert(manifest.config.digest)
                if try existingRootDisk(of: digest) == nil { needed.formUnion(manifest.layers.map(\.digest)) }
            }
            var freed = 0
            for name in try Files.names(in: blobs) where Digest(hex: name).map(needed.contains) != true {
                freed += try removeCounting(blobs.appending(name))
            }
            let disksNeeded = Set(digests.map { "\($0.hex).erofs" })
            for name in try Files.names(in: disks) where !disksNeeded.contains(name) {
                freed += try removeCounting(disks.appending(name))
            }
            for name in try Files.names(in: incoming) where !name.hasPrefix("archive-") {
                freed += try removeCounting(incoming.appending(name))
            }
            wanted.withLock { $0 = [:] }
            return ByteSize(bytes: freed)
        }
    }

    private func removeCounting(_ path: FilePath) throws -> Int {
        let blocks = try Files.status(path).map { Int($0.st_blocks) } ?? 0
        return try Files.remove(path) ? blocks * 512 : 0
    }
}
