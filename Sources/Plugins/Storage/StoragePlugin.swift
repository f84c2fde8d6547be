public import AgentCore

/// The storage plugin: images from registries and archives, root disks as erofs, overlays and volumes as ext4, and instance
/// logs.
public enum StoragePlugin {
    /// Its name in the configuration: what root disks are.
    public static let name = "erofs"

    /// What it contributes.
    ///
    /// It needs a ``StorageConfiguration`` and a `Logger`.
    public static let providers = ProviderSet(name) {
        provide(ContentStore.init(configuration:))
        provide(RegistryClient.init(configuration:store:logger:), cleanup: { try await $0.shutdown() })
        provide(ArchiveReader.init(store:configuration:))
        provide(ErofsImageBuilder.init(store:configuration:))
        provide(OCIArchiveWriter.init(store:))
        provide(BlobUploads.init(store:configuration:))
        provide(DirectoryDiskStore.init(configuration:))
        provide(DirectoryVolumeStore.init(configuration:))
        provide(DirectorySnapshotStore.init(configuration:))
        provide(FileInstanceLogs.init(configuration:logger:))
        bind((any ImageStore).self) { (it: ContentStore) in it }
        bind((any ImageRegistry).self) { (it: RegistryClient) in it }
        bind((any ImageArchiveReader).self) { (it: ArchiveReader) in it }
        bind((any ImageBuilder).self) { (it: ErofsImageBuilder) in it }
        bind((any ImageArchiveWriter).self) { (it: OCIArchiveWriter) in it }
        bind((any ImageUploads).self) { (it: BlobUploads) in it }
        bind((any DiskStore).self) { (it: DirectoryDiskStore) in it }
        bind((any VolumeStore).self) { (it: DirectoryVolumeStore) in it }
        bind((any SnapshotStore).self) { (it: DirectorySnapshotStore) in it }
        bind((any InstanceLogs).self) { (it: FileInstanceLogs) in it }
    }
}
