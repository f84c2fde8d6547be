public import AgentCore
import Tar

/// Manifests among what clients push.
extension BlobUploads {
    /// Manifests of one index; an honest one has a few dozens.
    private static let maximumManifests = 256

    public func put(_ manifest: [UInt8], type: String?, as digest: Digest?) async throws -> PushedManifest {
        try await Blocking.short { [self] in
            guard manifest.count <= OCI.maximumDocument else {
                throw AgentError(
                    .invalidArgument,
                    code: "manifest_too_large",
                    "the manifest is \(manifest.count) bytes long, \(OCI.maximumDocument) are allowed"
                )
            }
            let actual = try Digest(of: manifest)
            guard digest == nil || digest == actual else {
                throw AgentError(
                    .invalidArgument,
                    code: "digest_mismatch",
                    "the manifest's digest is \(actual), not the one that it was sent as"
                )
            }
            let document = try Self.checking { try OCI.Document(parsing: manifest) }
            let ownType = try Self.checking { try document.type(given: type) }
            try checkReferences(of: document, digest: actual)
            try store.pin(actual) {
                guard try store.size(of: actual) == nil else { return }
                // Under an upload's name, which a collection of garbage at the same time lets be.
                try Files.write(manifest, to: store.blobPath(actual), beside: store.temporaryPath("upload"))
            }
            return PushedManifest(digest: actual, type: ownType, bytes: manifest)
        }
    }

    public func manifest(_ digest: Digest) async throws -> PushedManifest? {
        try await Blocking.short { [self] in
            guard let size = try store.size(of: digest), size <= OCI.maximumDocument,
                let bytes = try store.small(digest), let document = try? OCI.Document(parsing: bytes),
                let type = try? document.type(given: nil)
            else { return nil }
            return PushedManifest(digest: digest, type: type, bytes: bytes)
        }
    }

    public func image(_ manifest: Digest, platform: Platform) async throws -> FetchedImage {
        try await Blocking.short { [self] in
            try Self.checking {
                var digest = manifest
                for _ in 0...OCI.maximumNesting {
                    guard let bytes = try store.small(digest) else {
                        throw AgentError(.notFound, "there is no manifest \(digest)")
                    }
                    switch try OCI.Document(parsing: bytes) {
                    case .manifest(let manifest): return try image(digest, manifest, platform)
                    case .index(let index):
                        guard let best = index.candidates(for: platform).first else {
                            throw AgentError(
                                .notSupported,
                                code: "platform_not_found",
                                "the index has nothing for \(platform), only \(index.platforms)"
                            )
                        }
                        digest = best.digest
                    }
                }
                throw DecodingFailure("its indexes are nested too deep")
            }
        }
    }

    public func release(_ image: FetchedImage) async throws { await store.release(image, dropping: false) }

    private func image(_ digest: Digest, _ manifest: OCI.Manifest, _ platform: Platform) throws -> FetchedImage {
        guard let bytes = try store.small(manifest.config.digest) else { throw Self.missing([manifest.config.digest]) }
        let document = try OCI.ConfigurationDocument(parsing: bytes)
        try document.check(platform)
        guard manifest.layers.count <= limits.maximumLayers else {
            throw DecodingFailure("it has \(manifest.layers.count) layers, \(limits.maximumLayers) are allowed")
        }
        if let foreign = manifest.layers.first(where: \.isForeign) {
            throw DecodingFailure("its layer \(foreign.digest) is to be had elsewhere, which is not supported")
        }
        let layers = manifest.layers.map(\.digest)
        store.want(layers)
        do {
            let missing = try layers.filter { try store.size(of: $0) == nil }
            guard missing.isEmpty else {
                guard try store.existingRootDisk(of: digest) != nil else { throw Self.missing(missing) }
                store.unwant(layers)
                return FetchedImage(digest: digest, configuration: document.configuration, layers: [])
            }
            return try FetchedImage(digest: digest, manifest: manifest, document: document, store: store)
        } catch {
            store.unwant(layers)
            throw error
        }
    }

    /// - Throws: `manifest_blob_unknown`, or `invalid_manifest` for something that has another size.
    private func checkReferences(of document: OCI.Document, digest: Digest) throws {
        let references: [OCI.Descriptor]
        switch document {
        case .index(let index):
            guard index.manifests.count <= Self.maximumManifests else {
                throw Self.invalid("it has \(index.manifests.count) manifests, \(Self.maximumManifests) are allowed")
            }
            references = index.manifests
        case .manifest(let manifest):
            guard manifest.layers.count <= limits.maximumLayers else {
                throw Self.invalid("it has \(manifest.layers.count) layers, \(limits.maximumLayers) are allowed")
            }
            // The layers are no longer there, and not needed.
            let layers = try store.existingRootDisk(of: digest) == nil ? manifest.layers.filter { !$0.isForeign } : []
            references = [manifest.config] + layers
        }
        var missing: [Digest] = []
        for reference in references {
            guard let size = try store.pin(reference.digest) else {
                missing.append(reference.digest)
                continue
            }
            guard size == reference.size else {
                throw Self.invalid("it says that \(reference.digest) has \(reference.size) bytes, and it has \(size)")
            }
        }
        if !missing.isEmpty { throw Self.missing(missing) }
    }

    private static func missing(_ digests: [Digest]) -> AgentError {
        let named = digests.prefix(5).map(\.description).joined(separator: ", ")
        return AgentError(
            .invalidArgument,
            code: "manifest_blob_unknown",
            "the manifest refers to what is not here; push it first: \(named)" + (digests.count > 5 ? ", …" : "")
        )
    }

    private static func invalid(_ why: String) -> AgentError {
        AgentError(.invalidArgument, code: "invalid_manifest", "the manifest is refused: \(why)")
    }

    private static func checking<T>(_ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let failure as DecodingFailure {
            throw invalid(failure.description)
        }
    }
}

extension OCI.Document {
    /// The media type: what it says of itself, which must be what it came as.
    ///
    /// OCI's documents need not say it, Docker's must.
    ///
    /// - Throws: ``DecodingFailure``.
    func type(given: String?) throws -> String {
        let (own, known) =
            switch self {
            case .manifest(let manifest): (manifest.mediaType, [OCI.manifestType, OCI.dockerManifestType])
            case .index(let index): (index.mediaType, [OCI.indexType, OCI.dockerListType])
            }
        let type = own ?? known[0]
        guard known.contains(type) else { throw DecodingFailure("its media type '\(type.prefix(200))' is not known") }
        if let given, given != type {
            throw DecodingFailure("it came as '\(given.prefix(200))' and is '\(type)'")
        }
        return type
    }
}
