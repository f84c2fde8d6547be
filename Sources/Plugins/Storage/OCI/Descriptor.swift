import AgentCore

extension OCI {
    /// A pointer to contents.
    struct Descriptor: Codable {
        var mediaType: String?
        var digest: Digest
        var size: Int
        var platform: Platform?
        var annotations: [String: String]?
        /// Where layers that must not be in registries are (Windows' base layers).
        var urls: [String]?

        /// Whether its contents are kept elsewhere than in the registry of its manifest.
        var isForeign: Bool { urls?.isEmpty == false || mediaType?.contains(".foreign.") == true }
    }

    struct Index: Codable {
        var schemaVersion = 2
        var mediaType: String?
        var manifests: [Descriptor]
    }

    struct Manifest: Codable {
        var schemaVersion = 2
        var mediaType: String?
        /// What an artifact is that is no image (OCI image-spec v1.1, manifest.md).
        var artifactType: String?
        var config: Descriptor
        var layers: [Descriptor]
    }

    /// What a manifest's bytes may be.
    enum Document {
        case index(Index)
        case manifest(Manifest)
    }
}

extension Platform {
    /// How well an image for `self` suits a host of platform `host`; nil if it cannot run there.
    func suitability(for host: Platform) -> Int? {
        guard os == host.os, architecture == host.architecture else { return nil }
        if variant == host.variant { return 2 }
        // amd64/v2 and up need processors that nobody has checked for; arm64 has only one variant in use.
        if variant == nil || host.variant == nil && variant == "v1" { return 1 }
        return nil
    }
}
