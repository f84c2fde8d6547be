/// The documents of the OCI image specification, and Docker's of the same shape (image manifest version 2, schema 2).
enum OCI {
    /// Larger manifests, indexes and configurations are refused, as registries do.
    static let maximumDocument = 4 << 20

    static let manifestType = "application/vnd.oci.image.manifest.v1+json"
    static let indexType = "application/vnd.oci.image.index.v1+json"
    static let dockerManifestType = "application/vnd.docker.distribution.manifest.v2+json"
    static let dockerListType = "application/vnd.docker.distribution.manifest.list.v2+json"
    static let configurationType = "application/vnd.oci.image.config.v1+json"
    static let layerType = "application/vnd.oci.image.layer.v1.tar"

    /// How deep an index may point to an index.
    static let maximumNesting = 3
}
