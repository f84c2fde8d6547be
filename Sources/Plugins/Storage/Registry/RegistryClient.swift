public import AgentCore
import AsyncHTTPClient
public import Logging
import NIOCore
import NIOHTTP1
import Tar

/// Gets images from registries over the OCI distribution API (distribution-spec v1.1, and Docker's of the same shape).
///
/// Credentials are Docker's, or those of one call. Mirrors are asked first, proxies used, both as configured. Plain HTTP
/// is spoken only to registries that the configuration lists.
public final class RegistryClient: ImageRegistry {
    private static let parallelLayers = 3
    private static let manifestTypes = [OCI.manifestType, OCI.indexType, OCI.dockerManifestType, OCI.dockerListType]

    private let configuration: StorageConfiguration
    private let store: ContentStore
    private let logger: Logger
    private let connections: RegistryConnections
    private let transport: RegistryTransport
    private let routes: RegistryRoutes

    /// A client that has spoken to nobody yet; ``shutdown()`` ends it.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_tls` if the authorities of the configuration cannot be read.
    public init(configuration: StorageConfiguration, store: ContentStore, logger: Logger) throws(AgentError) {
        self.configuration = configuration
        self.store = store
        self.logger = logger
        connections = try RegistryConnections(configuration)
        transport = RegistryTransport(
            connections: connections,
            authenticator: RegistryAuthenticator(credentials: DockerCredentials(configuration)),
            patience: configuration.registryPatience
        )
        routes = RegistryRoutes(configuration: configuration, logger: logger)
    }

    /// Closes the connections; nothing may be asked for afterwards.
    public func shutdown() async throws { try await connections.shutdown() }

    public func resolve(
        _ reference: ImageReference,
        platform: Platform,
        credentials: RegistryCredentials?
    ) async throws -> Digest {
        let source = Source(reference: reference, credentials: credentials)
        return try await translating(reference) {
            var (digest, _, document) = try await manifest(source, reference.digest)
            for _ in 0..<OCI.maximumNesting {
                guard case .index(let index) = document else { break }
                guard let choice = index.candidates(for: platform).first else {
                    throw AgentError(
                        .notSupported,
                        code: "platform_not_found",
                        "\(reference) has nothing for \(platform), only \(index.platforms)"
                    )
                }
                (digest, _, document) = try await manifest(source, choice.digest)
            }
            guard case .manifest(let manifest) = document else {
                throw DecodingFailure("its indexes are nested too deep")
            }
            try manifest.checkIsImage(reference)
            _ = try await configuration(of: manifest, source).document.check(platform)
            return digest
        }
    }

    public func fetch(
        _ reference: ImageReference,
        digest: Digest,
        credentials: RegistryCredentials?,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        let source = Source(reference: reference, credentials: credentials)
        return try await translating(reference) {
            let (_, bytes, document) = try await manifest(source, digest)
            guard case .manifest(let manifest) = document else {
                throw DecodingFailure("\(digest) is an index, not a manifest")
            }
            try manifest.checkIsImage(reference)
            let total = try checkSize(manifest)
            let (configurationBytes, configuration) = try await configuration(of: manifest, source)
            try await Blocking.short { [store] in try store.requireRoom(forMissing: manifest.layers) }
            let wanted = manifest.layers.map(\.digest)
            store.want(wanted)
            var draft: DiskDraft?
            do {
                // Before the layers, so that garbage collection knows whom their parts are for.
                try await Blocking.short { [store] in
                    _ = try store.put(configurationBytes)
                    _ = try store.put(bytes)
                }
                let meter = ProgressMeter(status: .pulling, total: total, report: progress)
                draft = try await beginDisk(of: digest, manifest, configuration)
                try await download(manifest.layers, of: source, meter: meter, for: draft)
                let image = try await Blocking.short { [store] in
                    try FetchedImage(digest: digest, manifest: manifest, document: configuration, store: store)
                }
                meter.finish()
                if let draft { await store.keep(draft, of: digest) }
                return image
            } catch {
                await draft?.discard()
                store.unwant(wanted)
                throw error
            }
        }
    }

    /// The bytes of all layers, if they may be had.
    private func checkSize(_ manifest: OCI.Manifest) throws -> Int {
        let limits = configuration.imageLimits
        guard manifest.layers.count <= limits.maximumLayers else {
            throw DecodingFailure("it has \(manifest.layers.count) layers, \(limits.maximumLayers) are allowed")
        }
        let total = manifest.layers.reduce(0) { $0 + min($1.size, 1 << 50) }
        guard total <= limits.maximumSize.bytes else {
            throw DecodingFailure("its layers have \(total) bytes, the limit is \(limits.maximumSize)")
        }
        return total
    }

    /// Where an image comes from, and as whom it is asked for.
    private struct Source {
        var reference: ImageReference
        var credentials: RegistryCredentials?
    }

    // MARK: Layers

    /// Begins the root disk, unless it is there; nil also for documents that don't fit together, of which somebody else
    /// tells.
    private func beginDisk(
        of digest: Digest,
        _ manifest: OCI.Manifest,
        _ document: OCI.ConfigurationDocument
    ) async throws -> DiskDraft? {
        let diffIDs = document.rootfs.diffIDs
        guard diffIDs.count == manifest.layers.count, try await store.rootDisk(of: digest) == nil else { return nil }
        return try DiskDraft(
            Array(zip(manifest.layers, diffIDs)),
            of: digest,
            in: store,
            configuration
        )
    }

    private func download(
        _ layers: [OCI.Descriptor],
        of source: Source,
        meter: ProgressMeter,
        for draft: DiskDraft?
    ) async throws {
        var seen: Set<Digest> = []
        var pending = layers.filter { seen.insert($0.digest).inserted }[...]
        try await withThrowingTaskGroup { group in
            for _ in 0..<Self.parallelLayers {
                guard let layer = pending.popFirst() else { break }
                group.addTask { try await self.download(layer, of: source, meter: meter, for: draft) }
            }
            while try await group.next() != nil {
                guard let layer = pending.popFirst() else { continue }
                group.addTask { try await self.download(layer, of: source, meter: meter, for: draft) }
            }
        }
    }

    private func download(
        _ layer: OCI.Descriptor,
        of source: Source,
        meter: ProgressMeter,
        for draft: DiskDraft?
    ) async throws {
        let arrival = draft?.arrival(of: layer.digest)
        let isHere = try await Blocking.short { [store] in
            guard try store.size(of: layer.digest) == layer.size else { return false }
            try arrival?.begin(store.blobPath(layer.digest), count: layer.size)
            arrival?.complete()
            return true
        }
        if isHere {
            meter.add(layer.size)
            return
        }
        let blob = try await BlobDownload(layer, transport: transport, store: store, meter: meter, arrival: arrival)
        do {
            try await routes.trying(source.reference) { endpoint in
                try await blob.receive(
                    request(source, endpoint, "blobs", "\(layer.digest)", what: "layer \(layer.digest)")
                )
            }
            try await blob.keep()
        } catch {
            // A later pull goes on with what is there; of contents that were wrong nothing is.
            blob.suspend()
            throw error
        }
        logger.debug("layer downloaded", metadata: ["digest": "\(layer.digest)", "bytes": "\(layer.size)"])
    }

    // MARK: Documents

    /// A manifest or index: that of `digest`, or what the reference stands for.
    private func manifest(_ source: Source, _ digest: Digest?) async throws -> (Digest, [UInt8], OCI.Document) {
        if let digest, let kept = try await Blocking.short({ [store] in try store.small(digest) }) {
            return (digest, kept, try OCI.Document(parsing: kept))
        }
        let name = digest.map { "\($0)" } ?? source.reference.tag ?? "latest"
        return try await routes.trying(source.reference) { endpoint in
            let (bytes, headers) = try await transport.document(
                request(
                    source,
                    endpoint,
                    "manifests",
                    name,
                    what: "\(source.reference.repository)\(digest == nil ? ":" : "@")\(name)",
                    accept: Self.manifestTypes
                )
            )
            let actual = try Self.verify(bytes, digest, "the manifest")
            // Only sha256 is known here; a registry may also compute others.
            if let claimed = headers.first(name: "docker-content-digest"), let claim = Digest(claimed) {
                _ = try Self.verify(bytes, claim, "the manifest, as \(endpoint.registry) says,")
            }
            return (actual, bytes, try OCI.Document(parsing: bytes))
        }
    }

    private func configuration(
        of manifest: OCI.Manifest,
        _ source: Source
    ) async throws -> (bytes: [UInt8], document: OCI.ConfigurationDocument) {
        let digest = manifest.config.digest
        if let kept = try await Blocking.short({ [store] in try store.small(digest) }) {
            return (kept, try OCI.ConfigurationDocument(parsing: kept))
        }
        let bytes = try await routes.trying(source.reference) { endpoint in
            let bytes = try await transport.document(
                request(source, endpoint, "blobs", "\(digest)", what: "the configuration \(digest)")
            ).bytes
            _ = try Self.verify(bytes, digest, "the configuration")
            return bytes
        }
        return (bytes, try OCI.ConfigurationDocument(parsing: bytes))
    }

    private static func verify(_ bytes: [UInt8], _ expected: Digest?, _ what: String) throws -> Digest {
        let actual = try Digest(of: bytes)
        guard let expected, actual != expected else { return actual }
        throw AgentError(
            .invalidArgument,
            code: "digest_mismatch",
            "\(what) should have the digest \(expected), but has \(actual)"
        )
    }

    private func request(
        _ source: Source,
        _ endpoint: RegistryEndpoint,
        _ kind: String,
        _ name: String,
        what: String,
        accept: [String] = []
    ) -> RegistryTransport.Request {
        let repository = source.reference.repository
        return RegistryTransport.Request(
            endpoint: endpoint,
            repository: endpoint.repository(repository),
            url: endpoint.url(repository, kind, name),
            what: what.hasPrefix(repository) ? what : "\(what) of \(repository)",
            accept: accept,
            // Given for the registry; a mirror is somebody else.
            credentials: endpoint.isMirror ? nil : source.credentials
        )
    }

    /// What leaves is an `AgentError`.
    private func translating<T>(_ reference: ImageReference, _ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let failure as DecodingFailure {
            throw AgentError(.invalidArgument, code: "invalid_manifest", "\(reference) cannot be used: \(failure)")
        } catch {
            throw AgentError.wrapping(error, "cannot get \(reference)")
        }
    }
}
