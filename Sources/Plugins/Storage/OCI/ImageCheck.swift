import AgentCore

extension OCI.Manifest {
    /// Refuses what is no image, or one whose layers cannot be had or read.
    ///
    /// - Throws: ``AgentError`` `notSupported`: `not_an_image`, `foreign_layer`, `encrypted_layer`.
    func checkIsImage(_ reference: ImageReference) throws(AgentError) {
        // Without a type it may be one of early registries; "octet-stream" is what Docker wrote before it had one.
        let types: [String?] = [
            nil, "", OCI.configurationType, "application/vnd.docker.container.image.v1+json",
            "application/octet-stream",
        ]
        guard types.contains(config.mediaType) else {
            let type = artifactType ?? config.mediaType ?? ""
            throw AgentError(
                .notSupported,
                code: "not_an_image",
                "\(reference) is not an image to run but an artifact of type '\(type.prefix(200))'"
            )
        }
        for layer in layers {
            if layer.isForeign {
                let place = layer.urls?.first.map { ", but at \($0.prefix(300))" } ?? ""
                throw AgentError(
                    .notSupported,
                    code: "foreign_layer",
                    "layer \(layer.digest) of \(reference) is not kept in the registry\(place); such layers, as those of "
                        + "Windows, are not fetched: push the image again with all of its layers"
                )
            }
            if layer.mediaType?.hasSuffix("+encrypted") == true {
                throw AgentError(
                    .notSupported,
                    code: "encrypted_layer",
                    "layer \(layer.digest) of \(reference) is encrypted, which is not supported"
                )
            }
        }
    }
}
