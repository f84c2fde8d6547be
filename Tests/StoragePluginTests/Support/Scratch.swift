import AgentCore
import AgentTestSupport
import Foundation
import StoragePlugin
import SystemPackage

extension Scratch {
    /// A store with data directory `data` and what works on it.
    func storage(
        limits: ImageLimits = ImageLimits(),
        data: FilePath? = nil,
        insecureRegistries: Set<String> = [],
        registryAuthorities: FilePath? = nil,
        dockerConfig: FilePath? = nil
    ) throws -> Storage {
        let configuration = StorageConfiguration(
            dataDirectory: data ?? appending("data"),
            insecureRegistries: insecureRegistries,
            registryAuthorities: registryAuthorities,
            dockerConfigDirectory: dockerConfig ?? appending("no-docker-config"),
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
