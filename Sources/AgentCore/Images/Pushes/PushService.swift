public import Logging

/// The agent as a registry to push to: pushed images become images like any other.
public final class PushService: Sendable {
    /// What a manifest is asked for by.
    public enum Reference: Sendable, Hashable {
        case tag(String)
        case digest(Digest)
    }

    /// How often is looked for what was given up or is no longer kept.
    private static let sweepInterval = Duration.seconds(60)

    /// Blobs and uploads, which need no more than what the port does.
    public let uploads: any ImageUploads
    private let images: ImagesService
    private let time: TimeSource
    private let logger: Logger

    public init(uploads: any ImageUploads, images: ImagesService, time: TimeSource, logger: Logger) {
        self.uploads = uploads
        self.images = images
        self.time = time
        self.logger = logger
    }

    // MARK: Manifests

    /// Takes in a manifest or index; under a tag it becomes an image, and its conversion to a root disk begins.
    ///
    /// By digest it is only kept for a while, for an index that is still to come. Of an index the part for this host
    /// becomes the image.
    ///
    /// - Returns: The manifest's digest.
    /// - Throws: What ``ImageUploads/put(_:type:as:)`` and ``ImageUploads/image(_:platform:)`` do.
    public func push(
        _ manifest: [UInt8],
        type: String?,
        to repository: RepositoryName,
        as reference: Reference
    ) async throws -> Digest {
        switch reference {
        case .digest(let digest): return try await uploads.put(manifest, type: type, as: digest).digest
        case .tag(let tag):
            let name = try repository.tagged(tag)
            let pushed = try await uploads.put(manifest, type: type, as: nil)
            let image = try await uploads.image(pushed.digest, platform: .host)
            do {
                let isBuilding = try await images.accept(
                    image,
                    as: name,
                    index: pushed.digest == image.digest ? nil : pushed.digest
                )
                if !isBuilding { try await uploads.release(image) }
            } catch {
                try await uploads.release(image)
                throw error
            }
            logger.info("image pushed", metadata: ["image": "\(name)", "digest": "\(image.digest)"])
            return pushed.digest
        }
    }

    /// A manifest as it was pushed or pulled.
    ///
    /// By digest, repositories are not told apart, as blobs are not.
    ///
    /// - Throws: `notFound`.
    public func manifest(_ reference: Reference, in repository: RepositoryName) async throws -> PushedManifest {
        let digest: Digest
        switch reference {
        case .tag(let tag):
            digest = try images.get(try repository.tagged(tag)).taggedDigest
        case .digest(let given): digest = given
        }
        guard let manifest = try await uploads.manifest(digest) else {
            throw AgentError(.notFound, "there is no manifest \(digest) in repository '\(repository)'")
        }
        return manifest
    }

    /// The tags of a repository, in order.
    ///
    /// - Throws: `notFound` if no image has a name in it.
    public func tags(of repository: RepositoryName) throws(AgentError) -> [String] {
        let tags = images.list().compactMap(repository.tag(of:))
        guard !tags.isEmpty else { throw AgentError(.notFound, "there is no image in repository '\(repository)'") }
        return tags.sorted()
    }

    /// Deletes the image of a tag, or the images of all tags in the repository that a manifest has.
    ///
    /// - Throws: As ``ImagesService/delete(_:)``.
    public func delete(_ reference: Reference, in repository: RepositoryName) async throws {
        switch reference {
        case .tag(let tag): try await images.delete(try repository.tagged(tag))
        case .digest(let digest):
            let found = images.list().filter { image in
                image.taggedDigest == digest && repository.tag(of: image) != nil
            }
            guard !found.isEmpty else {
                throw AgentError(.notFound, "no tag in repository '\(repository)' is manifest \(digest)")
            }
            for image in found { try await images.delete(try ImageReference(image.name)) }
        }
    }

    // MARK: Time

    /// Removes what clients left behind, from time to time, until the task is cancelled.
    public func sweepRepeatedly() async {
        while !Task.isCancelled {
            do {
                try await time.clock.sleep(for: Self.sweepInterval)
                try await sweep()
            } catch is CancellationError {
                return
            } catch {
                logger.warning("what clients left behind is not removed", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Removes what clients left behind.
    func sweep() async throws {
        if try await uploads.expire() { await images.collectGarbage() }
    }
}
