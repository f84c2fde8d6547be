import AgentCore
import AgentTestSupport
import Foundation
import Logging
import StoragePlugin
import SystemPackage
import Testing

extension Scratch {
    /// A store with data directory `data` and what works on it.
    func storage(
        limits: ImageLimits = ImageLimits(),
        data: FilePath? = nil,
        compression: RootDiskCompression = .none,
        insecureRegistries: Set<String> = [],
        registryAuthorities: FilePath? = nil,
        dockerConfig: FilePath? = nil,
        mirrors: [RegistryMirror] = [],
        proxies: ProxyConfiguration = ProxyConfiguration(),
        patience: RegistryPatience = RegistryPatience(pause: .milliseconds(20))
    ) throws -> Storage {
        let configuration = StorageConfiguration(
            dataDirectory: data ?? appending("data"),
            insecureRegistries: insecureRegistries,
            registryAuthorities: registryAuthorities,
            dockerConfigDirectory: dockerConfig ?? appending("no-docker-config"),
            rootDiskCompression: compression,
            registryMirrors: mirrors,
            proxies: proxies,
            registryPatience: patience,
            imageLimits: limits
        )
        let store = try ContentStore(configuration: configuration)
        return Storage(
            configuration: configuration,
            store: store,
            reader: ArchiveReader(store: store, configuration: configuration),
            builder: ErofsImageBuilder(store: store, configuration: configuration)
        )
    }

    /// Bytes as `gzip` or `zstd` packs them.
    func pack(_ bytes: [UInt8], by program: String) async throws -> [UInt8] {
        let plain = try write(bytes, to: "plain")
        let packed = appending("packed")
        try await tool("sh", ["-c", "\"$1\" -q -c -1 \"$2\" >\"$3\"", "sh", program, plain.string, packed.string])
        return try [UInt8](Data(contentsOf: URL(filePath: packed.string)))
    }
}

struct Storage: Sendable {
    let configuration: StorageConfiguration
    let store: ContentStore
    let reader: ArchiveReader
    let builder: ErofsImageBuilder

    /// Imports and builds.
    func disk(from archive: FilePath) async throws -> RootDisk {
        try await builder.build(try await reader.read(archive, platform: .host) { _ in }) { _ in }
    }

    /// The names of all files that have contents of layers, whole or not: manifests and configurations stay until
    /// garbage is collected.
    func layers() throws -> [String] {
        try files().filter { name in
            let path = configuration.dataDirectory.appending(FilePath(name).components)
            return try Data(contentsOf: URL(filePath: path.string)).first != UInt8(ascii: "{")
        }
    }

    /// Runs `body` with a client, and shuts it down.
    func withClient<T>(_ body: (RegistryClient) async throws -> T) async throws -> T {
        let client = try RegistryClient(configuration: configuration, store: store, logger: Logger(label: "test"))
        do {
            let result = try await body(client)
            try await client.shutdown()
            return result
        } catch {
            try await client.shutdown()
            throw error
        }
    }

    /// Resolves and fetches an image.
    func pull(_ name: String, credentials: RegistryCredentials? = nil) async throws -> FetchedImage {
        try await withClient { client in
            let reference = try ImageReference(name)
            let digest = try await client.resolve(reference, platform: .host, credentials: credentials)
            return try await client.fetch(reference, digest: digest, credentials: credentials) { _ in }
        }
    }

    /// What a pull that must fail fails with.
    func failure(_ name: String, credentials: RegistryCredentials? = nil) async throws -> AgentError {
        try #require(
            await #expect(throws: AgentError.self) { try await pull(name, credentials: credentials) }
        )
    }

    /// The names of all files below the data directory.
    func files() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: configuration.dataDirectory.string).filter {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(
                atPath: configuration.dataDirectory.string + "/" + $0,
                isDirectory: &isDirectory
            )
            return !isDirectory.boolValue
        }.sorted()
    }
}
