public import AgentCore
import Glibc
import SystemPackage
import Tar

/// Merges the layers of an image into one uncompressed erofs disk, in one pass and without unpacking them to a
/// directory: owners, modes, attributes and devices are those of the tar headers although the agent need not be root,
/// and no name in an image ever meets the host's file system.
///
/// Layers are dropped once a disk is built from them, unless another image that is being fetched waits for them.
public struct ErofsImageBuilder: ImageBuilder {
    private let store: ContentStore
    private let limits: ImageLimits

    public init(store: ContentStore, configuration: StorageConfiguration) {
        self.store = store
        limits = configuration.imageLimits
    }

    public func build(
        _ image: FetchedImage,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> RootDisk {
        let meter = ProgressMeter(status: .converting, total: image.layers.reduce(0) { $0 + $1.size }, report: progress)
        do {
            let disk = try await Blocking.long("image-build") { cancellation in
                if let disk = try store.existingRootDisk(of: image.digest) { return disk }
                return try write(image, meter: meter, cancellation: cancellation)
            }
            meter.finish()
            await store.release(image, dropping: true)
            return disk
        } catch {
            await store.release(image, dropping: false)
            throw error is CancellationError
                ? AgentError(.cancelled, "building the root disk of \(image.digest) was cancelled")
                : AgentError.wrapping(error, "cannot build the root disk of \(image.digest)")
        }
    }

    private func write(_ image: FetchedImage, meter: ProgressMeter, cancellation: Cancellation) throws -> RootDisk {
        guard image.layers.count <= limits.maximumLayers else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_layer",
                "the image has \(image.layers.count) layers, \(limits.maximumLayers) are allowed"
            )
        }
        let temporary = store.temporaryPath("disk")
        do {
            let data = try ErofsDataArea(temporary, limit: limits.maximumSize, budget: store.budget)
            let tree = ImageTree(limits: limits) { data.release($0) }
            for (index, layer) in image.layers.enumerated() {
                try LayerReader(layer, index: index, of: image.layers.count, limits: limits)
                    .apply(to: tree, data: data, meter: meter, cancellation: cancellation)
            }
            var writer = ErofsWriter(tree, data: data, uuid: try Self.uuid(of: image), cancellation: cancellation)
            let size: Int
            do {
                size = try writer.finish()
            } catch let failure as DecodingFailure {
                throw AgentError(.invalidArgument, code: "invalid_layer", failure.description)
            }
            try data.disk.sync()
            try cancellation.check()
            let path = store.diskPath(image.digest)
            try Files.rename(temporary, to: path)
            return RootDisk(path: path, size: ByteSize(bytes: size))
        } catch {
            unlink(temporary.string)
            throw error
        }
    }

    /// From what is in the layers, so that the same tree has the same disk to the last bit, however its layers were
    /// compressed.
    private static func uuid(of image: FetchedImage) throws -> [UInt8] {
        let contents = image.layers.compactMap(\.diffID)
        let digest =
            contents.count == image.layers.count
            ? try Digest(of: Array(contents.map(\.hex).joined(separator: " ").utf8)) : image.digest
        var bytes: [UInt8] = []
        var digits = digest.hex.utf8.prefix(32).makeIterator()
        while let high = digits.next(), let low = digits.next() {
            bytes.append(UInt8((high % 39 - 9) << 4 | (low % 39 - 9)))
        }
        // Version 8 (RFC 9562): made in a way of one's own.
        bytes[6] = bytes[6] & 0x0f | 0x80
        bytes[8] = bytes[8] & 0x3f | 0x80
        return bytes
    }
}
