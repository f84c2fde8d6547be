import Logging

/// What every instance's controller works with.
struct InstanceContext: Sendable {
    let configuration: InstancesConfiguration
    let runtime: RuntimeDirectories
    let changes: DirectoryChanges
    let store: any StateStore
    let directory: InstanceDirectory
    let admission: InstanceAdmission
    let images: ImagesService
    let imageStore: any ImageStore
    let disks: any DiskStore
    let volumes: VolumesService
    let snapshots: any SnapshotStore
    let catalog: SnapshotCatalog
    let logs: any InstanceLogs
    let network: InstancesNetwork
    let hypervisors: HypervisorSelection
    let time: TimeSource
    let logger: Logger
}
