import AgentCore
import AgentTestSupport
import Logging
import StoragePlugin
import SystemPackage

/// What is behind `/v2/` in a test.
struct PushBackend: Sendable {
    let pushes: PushService
    let images: ImagesService
    /// Where the real one has its files.
    let data: FilePath?

    static func inMemory() -> PushBackend {
        let pictures = InMemoryImages()
        return PushBackend(InMemoryUploads(), pictures, pictures, data: nil)
    }

    /// The storage plugin, with its files in `data`.
    static func real(_ data: FilePath, limits: UploadLimits = UploadLimits()) throws -> PushBackend {
        let configuration = StorageConfiguration(dataDirectory: data, uploadLimits: limits)
        let store = try ContentStore(configuration: configuration)
        return PushBackend(
            BlobUploads(store: store, configuration: configuration),
            ErofsImageBuilder(store: store, configuration: configuration),
            store,
            data: data
        )
    }

    private init(
        _ uploads: any ImageUploads,
        _ builder: any ImageBuilder,
        _ disks: any ImageStore,
        data: FilePath?
    ) {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let pictures = InMemoryImages()
        images = ImagesService(
            configuration: ImagesConfiguration(maximumConcurrentBuilds: 1),
            store: InMemoryStateStore(),
            registry: pictures,
            archives: pictures,
            builder: builder,
            disks: disks,
            writer: pictures,
            instances: InstanceDirectory(),
            time: .system,
            logger: logger
        )
        pushes = PushService(uploads: uploads, images: images, time: .system, logger: logger)
        self.data = data
    }
}
