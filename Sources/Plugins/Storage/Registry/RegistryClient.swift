public import AgentCore
import AsyncHTTPClient
public import Logging
import NIOCore
import NIOSSL
import SystemPackage

/// Gets images from registries over the OCI distribution API (distribution-spec v1.1, and Docker's of the same shape).
///
/// Credentials are Docker's. Plain HTTP is spoken only to registries that the configuration lists.
public final class RegistryClient: ImageRegistry {
    private static let parallelLayers = 3
    private static let manifestTypes = [OCI.manifestType, OCI.indexType, OCI.dockerManifestType, OCI.dockerListType]

    private let configuration: StorageConfiguration
    private let store: ContentStore
    private let logger: Logger
    private let client: HTTPClient
    private let transport: RegistryTransport

    /// A client that has spoken to nobody yet; ``shutdown()`` ends it.
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_tls` if the authorities of the configuration cannot be read.
    public init(configuration: StorageConfiguration, store: ContentStore, logger: Logger) throws(AgentError) {
        self.configuration = configuration
        self.store = store
        self.logger = logger
        var http = HTTPClient.Configuration(
            tlsConfiguration: try Self.tls(trusting: configuration.registryAuthorities),
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(15), read: .seconds(60)),
            decompression: .disabled
        )
        // Attempts are made and counted by the transport, which can tell why one failed.
        http.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: http)
        transport = RegistryTransport(
            client: client,
            authenticator: RegistryAuthenticator(credentials: DockerCredentials(configuration)),
            insecureRegistries: configuration.insecureRegistries
        )
    }

    private static func tls(trusting authorities: FilePath?) throws(AgentError) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        guard let authorities else { return tls }
        do {
            tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(authorities.string))]
        } catch {
            throw AgentError(
                .invalidArgument,
                code: "invalid_tls",
                "REGISTRY_CA_FILE is \(authorities), which cannot be read as PEM certificates",
                cause: error
            )
        }
        return tls
    }

    /// Closes the connections; nothing may be asked for afterwards.
    public func shutdown() async throws { try await client.shutdown() }

    public func resolve(_ reference: ImageReference, platform: Platform) async throws -> Digest {
        try await translating(reference) {
            var (digest, document) = try await manifest(reference, reference.digest)
            for _ in 0..<OCI.maximumNesting {
                guard case .index(let index) = document else { break }
                guard let choice = index.candidates(for: platform).first else {
                    throw AgentError(
                        .notSupported,
                        code: "platform_not_found",
                        "\(reference) has nothing for \(platform), only \(index.platforms)"
                    )
                }
                (digest, document) = try await manifest(reference, choice.digest)
            }
            guard case .manifest(let manifest) = document else {
                throw DecodingFailure("its indexes are nested too deep")
            }
            _ = try await configuration(of: manifest, reference).document.check(platform)
            return digest
        }
    }

    public func fetch(
        _ reference: ImageReference,
        digest: Digest,
        progress: @escaping @Sendable (ImageProgress) -> Void
    ) async throws -> FetchedImage {
        try await translating(reference) {
            let (_, bytes) = try await manifestBytes(reference, digest)
            guard case .manifest(let manifest) = try OCI.Document(parsing: bytes) else {
                throw DecodingFailure("\(digest) is an index, not a manifest")
            }
            guard manifest.layers.count <= self.configuration.imageLimits.maximumLayers else {
                throw DecodingFailure("it has \(manifest.layers.count) layers")
            }
            if let foreign = manifest.layers.first(where: \.isForeign) {
                throw AgentError(.notSupported, "layer \(foreign.digest) of \(reference) is not kept in the registry")
            }
            let total = manifest.layers.reduce(0) { $0 + min($1.size, 1 << 50) }
            guard total <= self.configuration.imageLimits.maximumSize.bytes else {
                throw DecodingFailure(
                    "its layers have \(total) bytes, the limit is \(self.configuration.imageLimits.maximumSize)"
                )
            }
            try await Blocking.short { [store] in try store.requireRoom(forMissing: manifest.layers) }
            let (configurationBytes, document) = try await configuration(of: manifest, reference)
            let wanted = manifest.layers.map(\.digest)
            store.want(wanted)
            do {
                let meter = ProgressMeter(status: .pulling, total: total, report: progress)
                try await download(manifest.layers, of: reference, meter: meter)
                let image = try await Blocking.short { [store] in
                    _ = try store.put(configurationBytes)
                    _ = try store.put(bytes)
                    return try FetchedImage(digest: digest, manifest: manifest, document: document, store: store)
                }
                meter.finish()
                return image
            } catch {
                store.unwant(wanted)
                throw error
            }
        }
    }

    // MARK: Layers

    private func download(_ layers: [OCI.Descriptor], of reference: ImageReference, meter: ProgressMeter) async throws {
        var seen: Set<Digest> = []
        var pending = layers.filter { seen.insert($0.digest).inserted }[...]
        try await withThrowingTaskGroup { group in
            for _ in 0..<Self.parallelLayers {
                guard let layer = pending.popFirst() else { break }
                group.addTask { try await self.download(layer, of: reference, meter: meter) }
            }
            while try await group.next() != nil {
                guard let layer = pending.popFirst() else { continue }
                group.addTask { try await self.download(layer, of: reference, meter: meter) }
            }
        }
    }

    private func download(_ layer: OCI.Descriptor, of reference: ImageReference, meter: ProgressMeter) async throws {
        if try await Blocking.short({ [store] in try store.size(of: layer.digest) == layer.size }) {
            meter.add(layer.size)
            return
        }
        let request = request(reference, "blobs", "\(layer.digest)", what: "layer \(layer.digest)", timeout: .hours(24))
        try await BlobDownload(layer, transport: transport, store: store, meter: meter).run(request)
        logger.debug("layer downloaded", metadata: ["digest": "\(layer.digest)", "bytes": "\(layer.size)"])
    }

    // MARK: Documents

    private func manifest(_ reference: ImageReference, _ digest: Digest?) async throws -> (Digest, OCI.Document) {
        let (actual, bytes) = try await manifestBytes(reference, digest)
        return (actual, try OCI.Document(parsing: bytes))
    }

    private func manifestBytes(_ reference: ImageReference, _ digest: Digest?) async throws -> (Digest, [UInt8]) {
        if let digest, let kept = try await Blocking.short({ [store] in try store.small(digest) }) {
            return (digest, kept)
        }
        let name = digest.map { "\($0)" } ?? reference.tag ?? "latest"
        let request = request(
            reference,
            "manifests",
            name,
            what: "\(reference.repository)\(digest == nil ? ":" : "@")\(name)",
            accept: Self.manifestTypes
        )
        let (bytes, _) = try await transport.document(request)
        return (try Self.verify(bytes, digest, "the manifest"), bytes)
    }

    private func configuration(
        of manifest: OCI.Manifest,
        _ reference: ImageReference
    ) async throws -> (bytes: [UInt8], document: OCI.ConfigurationDocument) {
        let digest = manifest.config.digest
        var bytes = try await Blocking.short { [store] in try store.small(digest) } ?? []
        if bytes.isEmpty {
            bytes = try await transport.document(
                request(reference, "blobs", "\(digest)", what: "the configuration of \(reference)")
            ).bytes
        }
        _ = try Self.verify(bytes, digest, "the configuration")
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
        _ reference: ImageReference,
        _ kind: String,
        _ name: String,
        what: String,
        accept: [String] = [],
        timeout: TimeAmount = .seconds(60)
    ) -> RegistryTransport.Request {
        let endpoint = RegistryEndpoint(reference.registry, insecure: configuration.insecureRegistries)
        return RegistryTransport.Request(
            endpoint: endpoint,
            repository: reference.repository,
            url: endpoint.url(reference.repository, kind, name),
            what: what,
            accept: accept,
            timeout: timeout
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
