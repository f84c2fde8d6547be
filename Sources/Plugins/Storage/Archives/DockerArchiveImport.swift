import AgentCore
import Tar

/// Imports what `docker save` writes: `manifest.json` with the names of a configuration and of layer tars.
///
/// It has no manifest of its own; one is made from the layers' digests, the same each time.
struct DockerArchiveImport {
    private let contents: ArchiveContents
    private let platform: Platform

    init(_ contents: ArchiveContents, platform: Platform) {
        self.contents = contents
        self.platform = platform
    }

    func run() throws -> FetchedImage {
        let bytes = try contents.document("manifest.json")
        let items = try OCI.decode([DockerArchiveItem].self, from: bytes, what: "manifest.json")
        guard let item = items.first, items.count == 1 else {
            throw DecodingFailure("it has \(items.count) images; save one")
        }
        let configuration = try contents.document(item.config)
        let document = try OCI.ConfigurationDocument(parsing: configuration)
        try document.check(platform)
        guard document.rootfs.diffIDs.count == item.layers.count else {
            throw DecodingFailure(
                "manifest.json has \(item.layers.count) layers, the configuration \(document.rootfs.diffIDs.count)"
            )
        }
        let store = contents.store
        var layers: [OCI.Descriptor] = []
        do {
            for (name, diffID) in zip(item.layers, document.rootfs.diffIDs) {
                layers.append(try copyLayer(name, diffID: diffID))
            }
            let manifest = OCI.Manifest(
                mediaType: OCI.manifestType,
                config: OCI.Descriptor(
                    mediaType: OCI.configurationType,
                    digest: try store.put(configuration),
                    size: configuration.count
                ),
                layers: layers
            )
            return try FetchedImage(
                digest: try store.put(try OCI.encode(manifest)),
                manifest: manifest,
                document: document,
                store: store,
                name: Self.name(in: bytes)
            )
        } catch {
            for layer in layers { store.unwant([layer.digest]) }
            throw error
        }
    }

    private func copyLayer(_ name: String, diffID: Digest) throws -> OCI.Descriptor {
        let (offset, _) = try contents.catalog.file(name)
        let compression = try LayerBlob.Compression.detect(in: contents.path, at: offset)
        // An uncompressed layer is its own diffID; the others are compared when they are unpacked.
        let (digest, size) = try contents.copyBlob(name, as: compression == .none ? diffID : nil)
        contents.store.want([digest])
        let suffix = compression == .none ? "" : "+\(compression.rawValue)"
        return OCI.Descriptor(mediaType: OCI.layerType + suffix, digest: digest, size: size)
    }

    /// The first tag.
    static func name(in manifest: [UInt8]) -> ImageReference? {
        let items = try? OCI.decode([DockerArchiveItem].self, from: manifest, what: "manifest.json")
        return items?.first?.repoTags?.first.flatMap { try? ImageReference($0) }
    }
}
