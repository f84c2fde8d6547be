import AgentCore
import Glibc
import Synchronization
import SystemPackage

/// A root disk that is written while its layers arrive, so that the download and the work on what came go side by side.
///
/// It is made of bytes that nobody has verified yet. So it has no name, and whoever fetches hands it on, by
/// ``ContentStore/keep(_:of:)``, only when every layer is verified; ``ImageBuilder/build(_:progress:)`` gives it the
/// disk's name. A draft that did not come off says nothing of the image: the disk is then written from the layers anew, and
/// an error is that of verified layers.
final class DiskDraft: Sendable {
    private let arrivals: [Digest: LayerArrival]
    private let relay: Relay
    private let meter: ProgressMeter
    private let work: Task<RootDisk, any Error>

    /// Starts to write, on threads of its own, until ``finished(progress:)`` or ``discard()``.
    ///
    /// - Parameters:
    ///   - layers: The layers that are going to be received, bottom first, and what is in them.
    ///   - digest: The image's.
    ///   - store: Where it is written.
    ///   - configuration: What layers may ask of this host, and what disks are like.
    /// - Throws: As ``RootDiskWriter``.
    init(
        _ layers: [(descriptor: OCI.Descriptor, diffID: Digest)],
        of digest: Digest,
        in store: ContentStore,
        _ configuration: StorageConfiguration
    ) throws {
        // The same one may be in an image twice.
        let arrivals = Dictionary(
            layers.map { ($0.descriptor.digest, LayerArrival(size: $0.descriptor.size)) },
            uniquingKeysWith: { one, _ in one }
        )
        let inputs = layers.compactMap { layer in
            arrivals[layer.descriptor.digest].map {
                LayerInput($0, diffID: layer.diffID, limits: configuration.imageLimits)
            }
        }
        let writer = try RootDiskWriter(inputs, of: digest, in: store, configuration)
        let relay = Relay()
        let meter = ProgressMeter(
            status: .converting,
            total: layers.reduce(0) { $0 + $1.descriptor.size },
            report: { relay.report($0) }
        )
        self.arrivals = arrivals
        self.relay = relay
        self.meter = meter
        work = Task {
            try await withTaskCancellationHandler {
                try await Blocking.long("image-draft") { cancellation in
                    try writer.write(meter: meter, cancellation: cancellation)
                }
            } onCancel: {
                // Whoever waits for bytes sees no cancellation.
                for arrival in arrivals.values { arrival.fail() }
            }
        }
    }

    /// Where what is received of a layer is to be announced.
    func arrival(of layer: Digest) -> LayerArrival? { arrivals[layer] }

    /// Waits until it is written.
    ///
    /// To be called once, and instead of ``discard()``; what is cancelled meanwhile leaves nothing.
    ///
    /// - Returns: The disk in the store's `incoming`, the caller's to name or remove; nil if it did not come off.
    func finished(progress: @escaping @Sendable (ImageProgress) -> Void) async throws -> RootDisk? {
        relay.start(progress)
        let result = await withTaskCancellationHandler {
            await work.result
        } onCancel: {
            work.cancel()
        }
        if case .success(let disk) = result {
            // A registry's second answer may have been right after the first was wrong, and read.
            if !Task.isCancelled, arrivals.values.allSatisfy(\.isIntact) {
                meter.finish()
                return disk
            }
            await Self.remove(disk)
        }
        try Task.checkCancellation()
        return nil
    }

    /// Ends it, wherever it is; nothing of it is left.
    func discard() async {
        work.cancel()
        if case .success(let disk) = await work.result { await Self.remove(disk) }
    }

    private static func remove(_ disk: RootDisk) async {
        // What cannot be removed now is gone with the next start.
        _ = try? await Blocking.regardless { unlink(disk.path.string) }
    }

    /// Passes progress on as soon as somebody wants it: while layers are received, that is what they are told.
    private final class Relay: Sendable {
        private let target = Mutex<(@Sendable (ImageProgress) -> Void)?>(nil)

        func start(_ target: @escaping @Sendable (ImageProgress) -> Void) {
            self.target.withLock { $0 = target }
        }

        func report(_ progress: ImageProgress) { target.withLock { $0 }?(progress) }
    }
}

extension ContentStore {
    /// Hands a draft on to who builds the image, which is fetched and verified.
    func keep(_ draft: DiskDraft, of image: Digest) async {
        await drafts.withLock { $0.updateValue(draft, forKey: image) }?.discard()
    }

    /// The draft of an image that is going to be built, or is not any more: the caller's to finish or discard.
    func takeDraft(of image: Digest) -> DiskDraft? { drafts.withLock { $0.removeValue(forKey: image) } }
}
