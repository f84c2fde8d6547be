public import AgentCore
public import GuestProtocol
public import SystemPackage

/// What the routes need of ``InstancesService``, whose documentation is the contract.
///
/// A protocol of its own so that the tests of the transport can give it a guest that floods, stalls or breaks.
public protocol InstanceOperations: InstanceFileOperations {
    func get(_ reference: String) throws(AgentError) -> Instance
    func list(_ filter: InstanceFilter) -> [Instance]
    func create(_ request: CreateInstanceRequest) async throws -> Instance
    func start(_ reference: String, _ request: StartInstanceRequest) async throws -> Instance
    func stop(_ reference: String, _ request: StopInstanceRequest) async throws -> Instance
    func pause(_ reference: String) async throws -> Instance
    func resume(_ reference: String) async throws -> Instance
    func standby(_ reference: String) async throws -> Instance
    func restore(_ reference: String) async throws -> Instance
    func update(_ reference: String, _ request: UpdateInstanceRequest) async throws -> Instance
    func fork(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance
    func forkSnapshot(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance
    func commit(_ reference: String, _ request: CommitInstanceRequest, patience: Duration) async throws -> Image
    func createSnapshot(_ reference: String, _ request: CreateSnapshotRequest) async throws -> Snapshot
    func snapshots(_ filter: SnapshotFilter) -> [Snapshot]
    func snapshot(_ reference: String) throws(AgentError) -> Snapshot
    func deleteSnapshot(_ reference: String) async throws
    func restoreSnapshot(_ reference: String, _ snapshot: String, to target: InstanceState?) async throws -> Instance
    func attachVolume(_ reference: String, _ request: VolumeMountRequest) async throws -> Instance
    func detachVolume(_ reference: String, volume: String) async throws -> Instance
    func delete(_ reference: String) async throws
    func wait(_ reference: String, for state: InstanceState, timeout: Duration) async throws -> InstanceWaitResult
    func exec(_ reference: String, _ request: ExecRequest, patience: Duration) async throws -> any GuestProcess
    func attach(
        _ reference: String,
        _ request: AttachInstanceRequest,
        patience: Duration
    ) async throws -> any GuestConversation
    func console(_ reference: String, tail: Int?) async throws(AgentError) -> any GuestConversation
    func logs(
        _ reference: String,
        source: LogSource,
        tail: Int?,
        follow: Bool
    ) async throws(AgentError) -> AsyncThrowingStream<LogLine, any Error>
    func usage(_ reference: String) async throws -> InstanceUsage
}

/// What the routes need of ``ResourcesService``, whose documentation is the contract.
public protocol ResourceOperations: Sendable {
    func report() async throws -> ResourcesReport
    func diskUsage() async throws -> DiskUsageReport
}

/// What the routes need of ``EventsService``, whose documentation is the contract.
public protocol EventOperations: Sendable {
    func events(after sequence: Int?) -> AsyncThrowingStream<Event, any Error>
}

/// What the routes need of ``ImagesService``, whose documentation is the contract.
public protocol ImageOperations: Sendable {
    func pull(
        _ reference: ImageReference,
        tags: [String: String],
        credentials: RegistryCredentials?
    ) async throws -> Image
    func newArchiveFile() async throws -> FilePath
    func importArchive(_ archive: FilePath, name: ImageReference?, tags: [String: String]) async throws -> Image
    func list() -> [Image]
    func get(_ reference: ImageReference) throws(AgentError) -> Image
    func delete(_ reference: ImageReference) async throws
    func prune(_ request: ImagePruneRequest) async throws -> ImagePruneReport
    func archive(_ reference: ImageReference) async throws -> ImageArchive
    func requireRoom(for size: ByteSize) async throws
    func progress(of reference: ImageReference) throws(AgentError) -> AsyncStream<ImageProgress>
}

extension InstancesService: InstanceOperations {}
extension ImagesService: ImageOperations {}
extension ResourcesService: ResourceOperations {}
extension EventsService: EventOperations {}
