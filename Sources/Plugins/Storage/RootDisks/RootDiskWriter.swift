import AgentCore
import Glibc
import SystemPackage
import Tar

/// Writes the layers of an image as one erofs disk, to a file that has no name yet for which anyone would look.
struct RootDiskWriter: Sendable {
    private let store: ContentStore
    private let limits: ImageLimits
    private let compression: RootDiskCompression
    private let layers: [LayerInput]
    private let uuid: [UInt8]

    /// - Parameters:
    ///   - layers: Bottom first.
    ///   - digest: The image's, for a disk of layers whose contents have none.
    ///   - store: Where the file is made.
    ///   - configuration: What layers may ask of this host, and whether the disk is compressed.
    /// - Throws: ``AgentError`` `internal` if there is no SHA-256.
    init(_ layers: [LayerInput], of digest: Digest, in store: ContentStore, _ configuration: StorageConfiguration)
        throws
    {
        self.store = store
        limits = configuration.imageLimits
        compression = configuration.rootDiskCompression
        self.layers = layers
        uuid = try Self.uuid(of: layers.map(\.diffID), otherwise: digest)
    }

    /// Writes and syncs all of it.
    ///
    /// - Returns: The file in the store's `incoming`, which is the caller's to name or remove; it is gone after an error.
    /// - Throws: ``AgentError`` as ``ImageBuilder/build(_:progress:)``; `CancellationError`.
    func write(meter: ProgressMeter, cancellation: Cancellation) throws -> RootDisk {
        guard layers.count <= limits.maximumLayers else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_layer",
                "the image has \(layers.count) layers, \(limits.maximumLayers) are allowed"
            )
        }
        let path = store.temporaryPath("disk")
        do {
            let data = try ErofsDataArea(
                path,
                limit: limits.maximumSize,
                budget: store.budget,
                compression: compression
            )
            let tree = ImageTree(limits: limits) { data.release($0) }
            for (index, layer) in layers.enumerated() {
                try LayerReader(layer, index: index, of: layers.count)
                    .apply(to: tree, data: data, meter: meter, cancellation: cancellation)
            }
            var writer = ErofsWriter(tree, data: data, uuid: uuid, cancellation: cancellation)
            let size: Int
            do {
                size = try writer.finish()
            } catch let failure as DecodingFailure {
                throw AgentError(.invalidArgument, code: "invalid_layer", failure.description)
            }
            try data.disk.sync()
            try cancellation.check()
            return RootDisk(path: path, size: ByteSize(bytes: size))
        } catch {
            unlink(path.string)
            throw error
        }
    }

    /// From what is in the layers, so that the same tree has the same disk to the last bit, however its layers were
    /// compressed.
    private static func uuid(of diffIDs: [Digest?], otherwise image: Digest) throws -> [UInt8] {
        let contents = diffIDs.compactMap(\.self)
        let digest =
            contents.count == diffIDs.count
            ? try Digest(of: Array(contents.map(\.hex).joined(separator: " ").utf8)) : image
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
