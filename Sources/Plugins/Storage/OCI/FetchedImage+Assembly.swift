import AgentCore
import Tar

extension FetchedImage {
    /// Puts an image together from documents that are verified and layers that are in the store.
    ///
    /// - Throws: ``DecodingFailure`` if the documents don't fit together.
    init(
        digest: Digest,
        manifest: OCI.Manifest,
        document: OCI.ConfigurationDocument,
        store: ContentStore,
        name: ImageReference? = nil
    ) throws {
        let diffIDs = document.rootfs.diffIDs
        guard diffIDs.count == manifest.layers.count else {
            throw DecodingFailure(
                "the manifest has \(manifest.layers.count) layers, the configuration \(diffIDs.count)"
            )
        }
        let layers = try zip(manifest.layers, diffIDs).map { descriptor, diffID in
            let path = store.blobPath(descriptor.digest)
            // The contents decide: media types are wrong in the wild.
            let compression = try LayerBlob.Compression.detect(in: path)
            return LayerBlob(path: path, compression: compression, size: descriptor.size, diffID: diffID)
        }
        self.init(digest: digest, configuration: document.configuration, layers: layers, name: name)
    }
}
