import GuestProtocol

/// What a caller asks for when making an image of an instance's files.
public struct CommitInstanceRequest: Sendable, Hashable {
    /// Of the new image.
    public var name: ImageReference
    /// The new image's.
    public var tags: [String: String]

    public init(name: ImageReference, tags: [String: String] = [:]) {
        self.name = name
        self.tags = tags
    }
}

extension InstancesService {
    /// Makes an image of what an instance's root file system has become, with the configuration of its own image.
    ///
    /// The instance runs on. A file that its program writes meanwhile is in the image as it was when it was read. Not in it are
    /// volumes and whatever else is mounted, and the files that say who and where the instance is (`/etc/hosts`,
    /// `/etc/hostname`, `/etc/resolv.conf`).
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: The new image.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: The image, converting or, if its contents were here already, ready.
    /// - Throws: `invalidState` if it isn't Running; `busy` with code `file_changed` if a file became shorter while it was read;
    ///   `storageFull`; as ``GuestChannel/readFiles(_:)``. Nothing is left of the image then.
    public func commit(
        _ reference: String,
        _ request: CommitInstanceRequest,
        patience: Duration
    ) async throws -> Image {
        guard request.name.digest == nil else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_name",
                "'\(request.name)' has a digest, which only what is in an image can give it; name it without"
            )
        }
        try Tags.validate(request.tags)
        let controller = try controller(reference)
        let channel = try await controller.channel(
            that: GuestFeature.imageFiles,
            "give its files to an image",
            patience: patience
        )
        let images = context.images
        let base = try get(controller.id.rawValue).specification.imageDigest
        let archive = try await images.newArchiveFile()
        do {
            try await Self.receive(try await channel.readFiles(GuestReadRequest(path: "/", asImage: true))) { bytes in
                try await images.append(bytes, to: archive)
            }
        } catch {
            await images.discard(archive)
            throw error
        }
        return try await images.importArchive(archive, name: request.name, tags: request.tags, basedOn: base)
    }

    /// Hands on a whole archive in pieces that are worth a write each.
    private static func receive(
        _ events: AsyncThrowingStream<GuestArchiveEvent, any Error>,
        _ write: ([UInt8]) async throws -> Void
    ) async throws {
        var pending: [UInt8] = []
        var isWhole = false
        for try await event in events {
            switch event {
            case .bytes(let bytes): pending += bytes
            case .finished: isWhole = true
            }
            guard pending.count >= pieceSize || isWhole && !pending.isEmpty else { continue }
            try await write(pending)
            pending.removeAll(keepingCapacity: true)
        }
        guard isWhole else { throw AgentError(.unavailable, "the guest ended before all of its files were read") }
    }

    private static let pieceSize = 1 << 20
}
