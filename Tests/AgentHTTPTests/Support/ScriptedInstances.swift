import AgentCore
import AgentHTTP
import AgentTestSupport
import Foundation
import GuestProtocol
import Synchronization
import SystemPackage

/// Instances that do what a test says: the transport is tested against what services may do, also at their worst.
final class ScriptedInstances: InstanceOperations {
    struct Script {
        var instances: [Instance] = []
        var created: [CreateInstanceRequest] = []
        var stops: [StopInstanceRequest] = []
        var execRequests: [ExecRequest] = []
        var attachRequests: [AttachInstanceRequest] = []
        var snapshots: [Snapshot] = []
        var targets: [InstanceState?] = []
        var forks: [(source: String, request: ForkInstanceRequest)] = []
        var commits: [(source: String, request: CommitInstanceRequest)] = []
        var consoleTails: [Int?] = []
        var failure: AgentError?
        var exec: @Sendable (ExecRequest) throws -> any GuestProcess = { _ in
            ScriptedProcess(output: [], exit: GuestExit(code: 0))
        }
        var attach: @Sendable (AttachInstanceRequest) throws -> any GuestConversation = { _ in
            ScriptedProcess(output: [], exit: GuestExit(code: 0))
        }
        var logs: @Sendable (Int?, Bool) -> AsyncThrowingStream<LogLine, any Error> = { _, _ in
            AsyncThrowingStream { $0.finish() }
        }
        /// Where the files of all instances are; nil: there are none.
        var files: FilePath?
        /// What copies fail with.
        var filesFailure: AgentError?
        var fileRequests: [String] = []
        var wait: @Sendable (Instance, InstanceState, Duration) async throws -> InstanceWaitResult = { instance, _, _ in
            InstanceWaitResult(instance: instance, timedOut: false)
        }
    }

    let script = Mutex(Script())

    /// Adds an instance that is there from the start.
    @discardableResult
    func add(_ name: String, state: InstanceState = .running, change: (inout Instance) -> Void = { _ in }) -> Instance {
        var instance = Fixtures.instance(name)
        instance.state = state
        change(&instance)
        script.withLock { $0.instances.append(instance) }
        return instance
    }

    func get(_ reference: String) throws(AgentError) -> Instance {
        try fail()
        let found = script.withLock { script in
            script.instances.first { $0.id.rawValue == reference || $0.name.rawValue == reference }
        }
        guard let found else { throw AgentError(.notFound, "there is no instance '\(reference)'") }
        return found
    }

    func list(_ filter: InstanceFilter) -> [Instance] {
        script.withLock { $0.instances }.filter { filter.state == nil || $0.state == filter.state }
    }

    func create(_ request: CreateInstanceRequest) async throws -> Instance {
        try fail()
        script.withLock { $0.created.append(request) }
        return add(request.name.rawValue, state: .initializing) { instance in
            instance.specification.environment = request.environment
            instance.specification.command = request.command
            instance.specification.memory = request.memory ?? .gibibytes(1)
            instance.specification.tags = request.tags
            instance.specification.terminal = request.terminal
            instance.specification.openStandardInput = request.openStandardInput
            instance.specification.bandwidth = request.bandwidth
            instance.specification.publishedPorts = request.publishedPorts
            instance.specification.networkEnabled = request.networkEnabled ?? false
        }
    }

    func start(_ reference: String, _ request: StartInstanceRequest) async throws -> Instance {
        try change(reference) { $0.state = .running }
    }

    func stop(_ reference: String, _ request: StopInstanceRequest) async throws -> Instance {
        script.withLock { $0.stops.append(request) }
        return try change(reference) { instance in
            instance.state = .stopped
            instance.exit = InstanceExit(reason: .stopped, code: 143, signal: 15)
        }
    }

    func attachVolume(_ reference: String, _ request: VolumeMountRequest) async throws -> Instance {
        let id = try VolumeID(request.volume)
        return try change(reference) { instance in
            let mount = VolumeMount(volume: id, path: request.path, readOnly: request.readOnly)
            instance.specification.volumes.append(mount)
        }
    }

    func detachVolume(_ reference: String, volume: String) async throws -> Instance {
        try change(reference) { $0.specification.volumes.removeAll { $0.volume.rawValue == volume } }
    }

    func delete(_ reference: String) async throws {
        let instance = try get(reference)
        script.withLock { script in script.instances.removeAll { $0.id == instance.id } }
    }

    func wait(_ reference: String, for state: InstanceState, timeout: Duration) async throws -> InstanceWaitResult {
        let instance = try get(reference)
        return try await script.withLock { $0.wait }(instance, state, timeout)
    }

    func pause(_ reference: String) async throws -> Instance { try change(reference) { $0.state = .paused } }
    func resume(_ reference: String) async throws -> Instance { try change(reference) { $0.state = .running } }

    func standby(_ reference: String) async throws -> Instance {
        try change(reference) { instance in
            instance.state = .standby
            instance.standby = InstanceStandby(snapshot: .random(), createdAt: Fixtures.time)
        }
    }

    func restore(_ reference: String) async throws -> Instance {
        try change(reference) { instance in
            instance.state = .running
            instance.standby = nil
        }
    }

    func update(_ reference: String, _ request: UpdateInstanceRequest) async throws -> Instance {
        try change(reference) { instance in
            if let policy = request.restartPolicy { instance.specification.restartPolicy = policy }
            if let vcpus = request.vcpus { instance.specification.vcpus = vcpus }
            if let memory = request.memory { instance.specification.memory = memory }
        }
    }

    func fork(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance {
        let source = try get(reference)
        script.withLock { $0.forks.append((reference, request)) }
        return add(request.name.rawValue, state: request.target ?? source.state)
    }

    func commit(_ reference: String, _ request: CommitInstanceRequest, patience: Duration) async throws -> Image {
        let instance = try get(reference)
        script.withLock { $0.commits.append((reference, request)) }
        return Image(
            name: request.name.description,
            digest: instance.specification.imageDigest,
            status: .converting,
            createdAt: Fixtures.time,
            tags: request.tags,
            imported: true
        )
    }

    func forkSnapshot(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance {
        let source = try snapshot(reference)
        script.withLock { $0.forks.append((reference, request)) }
        return add(request.name.rawValue, state: request.target ?? (source.kind == .standby ? .standby : .stopped))
    }

    func console(_ reference: String, tail: Int?) async throws(AgentError) -> any GuestConversation {
        _ = try get(reference)
        let attach = script.withLock { script in
            script.consoleTails.append(tail)
            return script.attach
        }
        do {
            return try attach(AttachInstanceRequest())
        } catch {
            throw AgentError.wrapping(error, "the script failed")
        }
    }

    func createSnapshot(_ reference: String, _ request: CreateSnapshotRequest) async throws -> Snapshot {
        let instance = try get(reference)
        let snapshot = Snapshot(
            id: .random(),
            name: request.name,
            kind: request.kind,
            instance: instance.id,
            instanceName: instance.name,
            createdAt: Fixtures.time,
            size: .mebibytes(3),
            hypervisor: request.kind == .standby ? .qemu : nil,
            tags: request.tags
        )
        script.withLock { $0.snapshots.append(snapshot) }
        return snapshot
    }

    func snapshots(_ filter: SnapshotFilter) -> [Snapshot] {
        script.withLock { $0.snapshots }.filter { snapshot in
            (filter.kind ?? snapshot.kind) == snapshot.kind
                && (filter.instance ?? snapshot.instance) == snapshot.instance
                && (filter.name == nil || filter.name == snapshot.name)
        }
    }

    func snapshot(_ reference: String) throws(AgentError) -> Snapshot {
        let found = script.withLock { script in
            script.snapshots.first { $0.id.rawValue == reference || $0.name?.rawValue == reference }
        }
        guard let found else { throw AgentError(.notFound, "there is no snapshot '\(reference)'") }
        return found
    }

    func deleteSnapshot(_ reference: String) async throws {
        let snapshot = try snapshot(reference)
        script.withLock { $0.snapshots.removeAll { $0.id == snapshot.id } }
    }

    func restoreSnapshot(_ reference: String, _ snapshot: String, to target: InstanceState?) async throws -> Instance {
        let found = try self.snapshot(snapshot)
        script.withLock { $0.targets.append(target) }
        return try change(reference) { $0.state = target ?? (found.kind == .standby ? .standby : .stopped) }
    }

    func exec(_ reference: String, _ request: ExecRequest, patience: Duration) async throws -> any GuestProcess {
        _ = try get(reference)
        let exec = script.withLock { script in
            script.execRequests.append(request)
            return script.exec
        }
        return try exec(request)
    }

    func attach(
        _ reference: String,
        _ request: AttachInstanceRequest,
        patience: Duration
    ) async throws -> any GuestConversation {
        _ = try get(reference)
        let attach = script.withLock { script in
            script.attachRequests.append(request)
            return script.attach
        }
        return try attach(request)
    }

    func logs(
        _ reference: String,
        source: LogSource,
        tail: Int?,
        follow: Bool
    ) async throws(AgentError) -> AsyncThrowingStream<LogLine, any Error> {
        _ = try get(reference)
        return script.withLock { $0.logs }(tail, follow)
    }

    func usage(_ reference: String) async throws -> InstanceUsage {
        let instance = try get(reference)
        guard instance.machine != nil || instance.state == .running else {
            return InstanceUsage(instance: instance, machine: nil, network: nil)
        }
        return InstanceUsage(
            instance: instance,
            machine: MachineCounters(
                cpuTime: .milliseconds(1500),
                residentMemory: .mebibytes(64),
                virtualMemory: .mebibytes(512)
            ),
            network: NetworkCounters(receivedBytes: 1000, receivedPackets: 10, sentBytes: 200, sentPackets: 4)
        )
    }

    private func change(_ reference: String, _ edit: (inout Instance) -> Void) throws -> Instance {
        var instance = try get(reference)
        edit(&instance)
        let changed = instance
        script.withLock { script in
            script.instances = script.instances.map { $0.id == changed.id ? changed : $0 }
        }
        return changed
    }

    private func fail() throws(AgentError) {
        if let failure = script.withLock({ $0.failure }) { throw failure }
    }
}
