public import Logging
import Synchronization
public import SystemPackage

/// Images: how they get here, by which names they are known, and when they go.
public final class ImagesService: Sendable {
    struct State {
        /// By name.
        var images: [String: Image] = [:]
        /// What is under way, by digest: names that share one share the work.
        var jobs: [Digest: Task<Void, Never>] = [:]
        var progress: [Digest: ImageProgress] = [:]
        var watchers: [Digest: [Int: AsyncStream<ImageProgress>.Continuation]] = [:]
        var nextWatcher = 0
        /// What instances use that the directory does not have yet: those are taken up after the images.
        var usedAtStart: Set<Digest> = []
        var isShutDown = false
    }

    let state = Mutex(State())
    /// Which names are new, changed or gone, once that can be read here.
    public let feed = ChangeFeed<String>()
    let store: any StateStore
    let registry: any ImageRegistry
    let archives: any ImageArchiveReader
    let builder: any ImageBuilder
    let disks: any ImageStore
    let writer: any ImageArchiveWriter
    let instances: InstanceDirectory
    let time: TimeSource
    let logger: Logger
    /// Fetches, conversions and imports at a time.
    let turns: FairSemaphore
    /// A change of a name is decided, stored and shown before the next, and before anybody looks for what nobody needs.
    let changes = FairSemaphore(width: 1)
    /// What is stored of an image and what is known of it change together: else a job's news of an image that is deleted
    /// meanwhile would bring it back.
    let records = FairSemaphore(width: 1)

    /// Everything it needs; call ``recover(_:)`` once before anything else.
    public init(
        configuration: ImagesConfiguration,
        store: any StateStore,
        registry: any ImageRegistry,
        archives: any ImageArchiveReader,
        builder: any ImageBuilder,
        disks: any ImageStore,
        writer: any ImageArchiveWriter,
        instances: InstanceDirectory,
        time: TimeSource,
        logger: Logger
    ) {
        self.store = store
        self.registry = registry
        self.archives = archives
        self.builder = builder
        self.disks = disks
        self.writer = writer
        self.instances = instances
        self.time = time
        self.logger = logger
        self.turns = FairSemaphore(width: configuration.maximumConcurrentBuilds)
    }

    // MARK: Getting

    /// Asks the registry for an image and starts getting it; returns when it is known to exist.
    ///
    /// An image that is here under the same digest is returned as it is; one that failed is tried again; several callers
    /// share one pull.
    ///
    /// - Parameters:
    ///   - reference: What to get.
    ///   - tags: The image's tags.
    ///   - credentials: For this pull only, kept in memory until it ends: one that is taken up after a restart of the
    ///     agent, and several callers' shared pull but the first's, have to do without.
    /// - Returns: The image, ready or on its way.
    /// - Throws: What the registry says, see ``ImageRegistry/resolve(_:platform:credentials:)``.
    public func pull(
        _ reference: ImageReference,
        tags: [String: String] = [:],
        credentials: RegistryCredentials? = nil
    ) async throws -> Image {
        try Tags.validate(tags)
        let digest = try await registry.resolve(reference, platform: .host, credentials: credentials)
        return try await changes.withTurn {
            let name = reference.description
            if var image = image(named: name), image.digest == digest, image.handle(.requested) == nil { return image }
            var image = Image(name: name, digest: digest, status: .pending, createdAt: time.now(), tags: tags)
            shareDisk(with: &image)
            try await put(image)
            if image.status != .ready { startFetching(reference, digest, credentials) }
            return self.image(named: name) ?? image
        }
    }

    /// A file to write a received archive to.
    public func newArchiveFile() async throws -> FilePath { try await disks.newArchiveFile() }

    /// Writes a part of an archive behind what was written before.
    ///
    /// - Throws: `storageFull`, see ``ImageStore/append(_:to:)``.
    func append(_ bytes: [UInt8], to archive: FilePath) async throws { try await disks.append(bytes, to: archive) }

    /// Takes in an archive that was written to a file of ``newArchiveFile()``, and starts converting it.
    ///
    /// The file is gone when this returns or throws.
    ///
    /// - Parameters:
    ///   - archive: The file.
    ///   - name: The image's name; nil takes the one that the archive carries.
    ///   - tags: The image's tags.
    /// - Returns: The image, converting or, if its contents were here already, ready.
    /// - Throws: `invalidArgument`: `invalid_archive`, `digest_mismatch`, or `invalid_name` if there is no name.
    public func importArchive(
        _ archive: FilePath,
        name: ImageReference?,
        tags: [String: String] = [:]
    ) async throws -> Image {
        try await importArchive(archive, name: name, tags: tags, basedOn: nil)
    }

    /// The same for the tar of a root filesystem that gets the configuration of another image, as
    /// ``ImageArchiveReader/read(_:platform:basedOn:progress:)`` says.
    func importArchive(
        _ archive: FilePath,
        name: ImageReference?,
        tags: [String: String],
        basedOn base: Digest?
    ) async throws -> Image {
        do {
            let image = try await takeIn(archive, name: name, tags: tags, basedOn: base)
            try await disks.discard(archive)
            return image
        } catch {
            await discard(archive)
            throw error
        }
    }

    private func takeIn(
        _ archive: FilePath,
        name: ImageReference?,
        tags: [String: String],
        basedOn base: Digest?
    ) async throws -> Image {
        try Tags.validate(tags)
        let fetched = try await turns.withTurn {
            try await archives.read(archive, platform: .host, basedOn: base, progress: { _ in })
        }
        do {
            guard let reference = name ?? fetched.name else {
                throw AgentError(.invalidArgument, code: "invalid_name", "the archive carries no image name; give one")
            }
            return try await takeIn(fetched, as: reference, tags: tags)
        } catch {
            await disks.abandon(fetched)
            await collectGarbage()
            throw error
        }
    }

    private func takeIn(_ fetched: FetchedImage, as reference: ImageReference, tags: [String: String]) async throws
        -> Image
    {
        try await changes.withTurn {
            var image = Image(
                name: reference.description,
                digest: fetched.digest,
                status: .converting,
                createdAt: time.now(),
                tags: tags,
                imported: true
            )
            shareDisk(with: &image)
            try await put(image)
            if image.status == .ready || !startBuilding(fetched) {
                // The disk is there or on its way: nobody needs the layers that were taken in once more.
                await disks.abandon(fetched)
            }
            return self.image(named: image.name) ?? image
        }
    }

    /// Removes an archive that nothing came of.
    func discard(_ archive: FilePath) async {
        do {
            try await disks.discard(archive)
        } catch {
            logger.warning("received archive not removed", metadata: ["path": "\(archive)", "error": "\(error)"])
        }
    }

    // MARK: Reads

    /// All images, by name, whatever their status.
    public func list() -> [Image] { state.withLock { Array($0.images.values) }.sorted { $0.name < $1.name } }

    /// The image of a name, with or without a digest.
    ///
    /// - Throws: `notFound`.
    public func get(_ reference: ImageReference) throws(AgentError) -> Image {
        if let image = image(named: reference.description) { return image }
        // A digest names the contents: any name of the same repository will do.
        if let digest = reference.digest {
            let prefix = "\(reference.registry)/\(reference.repository)"
            let twin = list().first { image in
                image.digest == digest && (image.name.hasPrefix(prefix + ":") || image.name.hasPrefix(prefix + "@"))
            }
            if let twin { return twin }
        }
        throw AgentError(.notFound, "image '\(reference)' is not here; pull or import it first")
    }

    /// A ready image with this digest, whatever its name.
    func image(of digest: Digest) -> Image? {
        state.withLock { $0.images.values.first { $0.digest == digest && $0.status == .ready } }
    }

    /// Makes an image ready at once if another name has its root disk already.
    func shareDisk(with image: inout Image) {
        guard let twin = self.image(of: image.digest) else { return }
        image.status = .ready
        image.configuration = twin.configuration
        image.diskSize = twin.diskSize
    }

    func image(named name: String) -> Image? { state.withLock { $0.images[name] } }

    /// Waits until an image is ready or failed.
    ///
    /// - Throws: `notFound` if it is deleted meanwhile.
    public func wait(_ reference: ImageReference) async throws -> Image {
        for await _ in try progress(of: reference) {}
        try Task.checkCancellation()
        return try get(reference)
    }

    // MARK: Removal

    /// Forgets a name, and removes the root disk if no other name and no instance needs it.
    ///
    /// What is under way for it is cancelled.
    ///
    /// - Throws: `notFound`; `busy` with code `image_in_use` if an instance was made from it, or a snapshot is of
    ///   one that was, and it has no other name.
    public func delete(_ reference: ImageReference) async throws {
        try await changes.withTurn {
            let image = try get(reference)
            let isLastName = !list().contains { $0.name != image.name && $0.digest == image.digest }
            if isLastName, let user = instances.user(of: image.digest) {
                throw AgentError(
                    .busy,
                    code: "image_in_use",
                    "image '\(image.name)' is used by \(user); delete that first"
                )
            }
            try await forget(image)
            let job = isLastName ? state.withLock { $0.jobs[image.digest] } : nil
            if let job {
                job.cancel()
                await job.value
            }
            logger.info("image deleted", metadata: ["image": "\(image.name)"])
            state.withLock { $0.usedAtStart = [] }
        }
        await collectGarbage()
    }

    /// Takes a name out, stored and shown.
    func forget(_ image: Image) async throws {
        try await records.withTurn {
            try await store.commit([
                .removeImage(name: image.name),
                .appendEvent(EventDraft(time: time.now(), kind: .imageDeleted, subject: image.name)),
            ])
            state.withLock { $0.images[image.name] = nil }
            feed.mark(image.name)
        }
    }

    /// Removes from disk what no image and no instance needs; what is under way is not in its way.
    ///
    /// A failure is logged: the next one tries again.
    func collectGarbage() async {
        do {
            try await changes.withTurn {
                let freed = try await disks.removeAll(except: neededDigests())
                if freed.bytes > 0 { logger.info("disk space freed", metadata: ["bytes": "\(freed.bytes)"]) }
            }
        } catch is CancellationError {
            // Whoever cancelled it looks himself, or the next start does.
        } catch {
            logger.warning("unneeded image data not removed", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Stored state

    /// Stores an image and shows it.
    func put(_ image: Image) async throws {
        try await records.withTurn { try await record(image) }
    }

    /// ``put(_:)`` for one whose turn it is.
    func record(_ image: Image) async throws {
        var attributes = ["status": image.status.rawValue, "digest": image.digest.description]
        attributes["error"] = image.error
        try await store.commit([
            .putImage(image),
            .appendEvent(EventDraft(time: time.now(), kind: .imageStatus, subject: image.name, attributes: attributes)),
        ])
        state.withLock { $0.images[image.name] = image }
        feed.mark(image.name)
    }
}

/// What the agent's configuration says about images.
public struct ImagesConfiguration: Sendable {
    /// At least 1.
    public var maximumConcurrentBuilds: Int

    public init(maximumConcurrentBuilds: Int) { self.maximumConcurrentBuilds = maximumConcurrentBuilds }
}
