import AgentCore
import Tar

/// Imports an OCI image layout (image-spec, image-layout.md).
struct LayoutImport {
    private let contents: ArchiveContents
    private let platform: Platform
    private let limits: ImageLimits

    init(_ contents: ArchiveContents, platform: Platform, limits: ImageLimits) {
        self.contents = contents
        self.platform = platform
        self.limits = limits
    }

    func run() throws -> FetchedImage {
        let index = try OCI.decode(OCI.Index.self, from: try contents.document("index.json"), what: "index.json")
        var descriptor = try choose(from: index)
        let name = self.name(of: descriptor)
        for _ in 0...OCI.maximumNesting {
            switch try OCI.Document(parsing: try contents.document(descriptor.digest)) {
            case .index(let index): descriptor = try choose(from: index)
            case .manifest(let manifest): return try image(descriptor.digest, manifest, name: name)
            }
        }
        throw DecodingFailure("its indexes are nested too deep")
    }

    private func choose(from index: OCI.Index) throws -> OCI.Descriptor {
        let candidates = index.candidates(for: platform)
        guard let first = candidates.first else {
            throw AgentError(
                .notSupported,
                code: "platform_not_found",
                "the archive has nothing for \(platform), only \(index.platforms)"
            )
        }
        guard candidates.allSatisfy({ $0.digest == first.digest }) else {
            throw DecodingFailure("it has \(candidates.count) images for \(platform); import an archive of one")
        }
        // Of several names for one image, a whole one is the best.
        return candidates.first { self.name(of: $0) != nil } ?? first
    }

    private func image(_ digest: Digest, _ manifest: OCI.Manifest, name: ImageReference?) throws -> FetchedImage {
        guard manifest.layers.count <= limits.maximumLayers else {
            throw DecodingFailure("it has \(manifest.layers.count) layers, \(limits.maximumLayers) are allowed")
        }
        let configuration = try contents.document(manifest.config.digest)
        let document = try OCI.ConfigurationDocument(parsing: configuration)
        try document.check(platform)
        let store = contents.store
        let wanted = manifest.layers.map(\.digest)
        store.want(wanted)
        do {
            for layer in manifest.layers {
                _ = try contents.copyBlob("blobs/sha256/\(layer.digest.hex)", as: layer.digest, size: layer.size)
            }
            let image = try FetchedImage(
                digest: digest,
                manifest: manifest,
                document: document,
                store: store,
                name: name
            )
            _ = try store.put(configuration)
            _ = try store.put(try contents.document(digest))
            return image
        } catch {
            store.unwant(wanted)
            throw error
        }
    }

    /// Docker and containerd write the whole name beside the standard's annotation, which is often a tag alone.
    private func name(of descriptor: OCI.Descriptor) -> ImageReference? {
        if let whole = descriptor.annotations?["io.containerd.image.name"] { return try? ImageReference(whole) }
        if let name = descriptor.annotations?["org.opencontainers.image.ref.name"],
            name.contains(where: { $0 == "/" || $0 == ":" })
        {
            return try? ImageReference(name)
        }
        guard contents.catalog.has("manifest.json"), let bytes = try? contents.document("manifest.json") else {
            return nil
        }
        return DockerArchiveImport.name(in: bytes)
    }
}
