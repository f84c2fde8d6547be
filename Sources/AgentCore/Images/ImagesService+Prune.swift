import Logging
import Synchronization

public import struct Foundation.Date

/// Which images are to go.
public struct ImagePruneRequest: Sendable, Hashable {
    /// A condition on the labels of an image's configuration.
    public struct Label: Sendable, Hashable {
        public var name: String
        /// nil is any.
        public var value: String?
        /// Whether an image with it is spared rather than chosen.
        public var isExcluded: Bool

        public init(_ name: String, value: String? = nil, isExcluded: Bool = false) {
            self.name = name
            self.value = value
            self.isExcluded = isExcluded
        }
    }

    /// Also ready images that no instance was made from, and not failed ones alone.
    public var all: Bool
    /// Say what would go, and remove nothing.
    public var dryRun: Bool
    /// Only images that came before this.
    public var createdBefore: Date?
    /// All must hold.
    public var labels: [Label]

    public init(all: Bool = false, dryRun: Bool = false, createdBefore: Date? = nil, labels: [Label] = []) {
        self.all = all
        self.dryRun = dryRun
        self.createdBefore = createdBefore
        self.labels = labels
    }

    /// Whether an image is chosen, whoever may use it.
    func selects(_ image: Image) -> Bool {
        guard image.status == .failed || all && image.status == .ready else { return false }
        if let createdBefore, image.createdAt >= createdBefore { return false }
        let own = image.configuration?.labels ?? [:]
        return labels.allSatisfy { label in
            let has = own[label.name].map { label.value == nil || label.value == $0 } ?? false
            return has != label.isExcluded
        }
    }
}

/// What a prune removed or would remove.
public struct ImagePruneReport: Sendable, Hashable {
    /// As they were.
    public var images: [Image]
    /// The host's disk space that came free.
    public var reclaimed: ByteSize
    public var isDryRun: Bool

    public init(images: [Image], reclaimed: ByteSize, isDryRun: Bool) {
        self.images = images
        self.reclaimed = reclaimed
        self.isDryRun = isDryRun
    }
}

extension ImagesService {
    /// Forgets images that nobody uses, and removes from disk what no image and no instance needs: root disks whose name
    /// moved on to another digest, and what is left of pulls that failed.
    ///
    /// An image that an instance was made from, in whatever state that is, stays, and so does one that is on its way.
    ///
    /// - Throws: What the stores say.
    public func prune(_ request: ImagePruneRequest) async throws -> ImagePruneReport {
        try await changes.withTurn {
            // Whoever asks is answered after the start: instances speak for themselves now.
            state.withLock { $0.usedAtStart = [] }
            let used = instances.images()
            let chosen = list().filter { request.selects($0) && !used.contains($0.digest) && !isUnderWay($0.digest) }
            let names = Set(chosen.map(\.name))
            guard !request.dryRun else {
                let size = try await disks.removable(except: neededDigests(without: names))
                return ImagePruneReport(images: chosen, reclaimed: size, isDryRun: true)
            }
            for image in chosen { try await forget(image) }
            let freed = try await disks.removeAll(except: neededDigests())
            logger.info("images pruned", metadata: ["images": "\(chosen.count)", "bytes": "\(freed.bytes)"])
            return ImagePruneReport(images: chosen, reclaimed: freed, isDryRun: false)
        }
    }

    /// What images and instances need of the disk.
    ///
    /// - Parameter names: Images that do not count.
    /// - Returns: Digests of images.
    func neededDigests(without names: Set<String> = []) -> Set<Digest> {
        let images = list().filter { $0.status != .failed && !names.contains($0.name) }
        return Set(images.flatMap { [$0.digest, $0.taggedDigest] }).union(
            instances.images()
        )
        .union(state.withLock { $0.usedAtStart })
    }

    private func isUnderWay(_ digest: Digest) -> Bool { state.withLock { $0.jobs[digest] != nil } }

    /// Asks whether so much more may be received, see ``ImageStore/requireRoom(for:)``.
    public func requireRoom(for size: ByteSize) async throws { try await disks.requireRoom(for: size) }
}
