public import AgentCore
import Glibc
import SystemPackage

/// Merges the layers of an image into one erofs disk, in one pass and without unpacking them to a
/// directory: owners, modes, attributes and devices are those of the tar headers although the agent need not be root,
/// and no name in an image ever meets the host's file system.
///
/// Layers are dropped once a disk is built from them, unless another image that is being fetched waits for them.
public struct ErofsImageBuilder: ImageBuilder {
    private let store: ContentStore
    private let configuration: StorageConfiguration

    public init(store: ContentStore, configuration: StorageConfiguration) {
        self.store = store
        self.configuration = configuration
    }

    public func build(
        _ image: FetchedImage,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> RootDisk {
        do {
            let disk = try await self.disk(of: image, progress: progress)
            await store.release(image, dropping: true)
            return disk
        } catch {
            await store.release(image, dropping: false)
            throw error is CancellationError
                ? AgentError(.cancelled, "building the root disk of \(image.digest) was cancelled")
                : AgentError.wrapping(error, "cannot build the root disk of \(image.digest)")
        }
    }

    /// The disk that is there, that was written while the layers came, or that is written now.
    private func disk(
        of image: FetchedImage,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> RootDisk {
        let draft = store.takeDraft(of: image.digest)
        do {
            if let disk = try await store.rootDisk(of: image.digest) {
                await draft?.discard()
                return disk
            }
        } catch {
            await draft?.discard()
            throw error
        }
        if let disk = try await draft?.finished(progress: progress) { return try await name(disk, of: image) }
        let layers = image.layers.map { LayerInput($0, limits: configuration.imageLimits) }
        let writer = try RootDiskWriter(layers, of: image.digest, in: store, configuration)
        let meter = ProgressMeter(status: .converting, total: image.layers.reduce(0) { $0 + $1.size }, report: progress)
        let disk = try await Blocking.long("image-build") { cancellation in
            try writer.write(meter: meter, cancellation: cancellation)
        }
        meter.finish()
        return try await name(disk, of: image)
    }

    /// Makes a whole disk the image's.
    private func name(_ disk: RootDisk, of image: FetchedImage) async throws -> RootDisk {
        let path = store.diskPath(image.digest)
        try await Blocking.regardless {
            do {
                try Files.rename(disk.path, to: path)
            } catch {
                unlink(disk.path.string)
                throw error
            }
        }
        return RootDisk(path: path, size: disk.size)
    }
}
