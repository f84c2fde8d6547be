import AgentCore
import Foundation
import Tar

/// What stands in an archive before the layer: an OCI layout (image-spec, image-layout.md), and beside it the
/// `manifest.json` of `docker save`, which older `docker load`s look for.
struct ArchiveDocuments {
    /// Everything up to the layer's own header, which is the last.
    let head: [UInt8]

    /// - Parameters:
    ///   - configuration: The image's own, whose every word on running it is kept.
    ///   - layer: The one layer; uncompressed, so its digest is its diffID, too.
    ///   - name: What the image is to be called where it is loaded; a digest in it would be another one's there.
    /// - Throws: ``DecodingFailure`` for a configuration that is none.
    init(configuration: [UInt8], layer: OCI.Descriptor, name: ImageReference) throws {
        let configuration = try OCI.ConfigurationDocument.rewrite(
            configuration,
            layer: layer.digest,
            madeBy: "hypeman save"
        )
        let manifest = try OCI.encode(
            OCI.Manifest(
                mediaType: OCI.manifestType,
                config: OCI.Descriptor(
                    mediaType: OCI.configurationType,
                    digest: try Digest(of: configuration),
                    size: configuration.count
                ),
                layers: [layer]
            )
        )
        let fullName = name.tag.map { "\(name.registry)/\(name.repository):\($0)" }
        let platform = try OCI.ConfigurationDocument(parsing: configuration).platform
        var descriptor = OCI.Descriptor(
            mediaType: OCI.manifestType,
            digest: try Digest(of: manifest),
            size: manifest.count,
            platform: platform
        )
        if let fullName, let tag = name.tag {
            descriptor.annotations = [
                "io.containerd.image.name": fullName, "org.opencontainers.image.ref.name": tag,
            ]
        }
        func blob(_ digest: Digest) -> String { "blobs/sha256/\(digest.hex)" }
        let dockers = [
            DockerArchiveItem(
                config: blob(try Digest(of: configuration)),
                repoTags: fullName.map { [$0] },
                layers: [blob(layer.digest)]
            )
        ]
        var head = TarMember.file("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        head += TarMember.file(
            "index.json",
            try OCI.encode(OCI.Index(mediaType: OCI.indexType, manifests: [descriptor]))
        )
        head += TarMember.file("manifest.json", try OCI.encode(dockers))
        head += TarMember.file(blob(try Digest(of: configuration)), configuration)
        head += TarMember.file(blob(try Digest(of: manifest)), manifest)
        var member = TarMember(Array(blob(layer.digest).utf8))
        member.size = layer.size
        self.head = head + member.header
    }
}
