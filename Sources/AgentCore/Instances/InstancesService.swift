public import GuestProtocol
public import Logging
import Synchronization

/// Instances: their life, their programs' output, and commands in them.
///
/// Every transport calls this and nothing below it.
///
/// An instance is named by its id, its name, or a prefix of its id that fits no other; in this order. Calls that change
/// something return when it is done, whether or not their caller still waits: the work belongs to the agent.
public final class InstancesService: Sendable {
    let context: InstanceContext
    private let controllers = Mutex<[InstanceID: InstanceController]>([:])

    /// Everything it needs; call ``recover(_:)`` once before anything else.
    public init(
        configuration: InstancesConfiguration,
        store: any StateStore,
        directory: InstanceDirectory,
        images: ImagesService,
        imageStore: any ImageStore,
        disks: any DiskStore,
        volumes: VolumesService,
        snapshots: any SnapshotStore,
        logs: any InstanceLogs,
        network: any NetworkBackend,
        hypervisors: HypervisorSelection,
        time: TimeSource,
        logger: Logger
    ) {
        self.context = InstanceContext(
            configuration: configuration,
            runtime: RuntimeDirectories(root: configuration.runtimeDirectory),
            changes: DirectoryChanges(logger: logger),
            store: store,
            directory: directory,
            admission: InstanceAdmission(configuration, directory),
            images: images,
            imageStore: imageStore,
            disks: disks,
            volumes: volumes,
            snapshots: snapshots,
            catalog: SnapshotCatalog(),
            logs: logs,
            network: InstancesNetwork(backend: network, store: store, time: time, logger: logger),
            hypervisors: hypervisors,
            time: time,
            logger: logger
        )
    }

    // MARK: Reads

    /// The instance that a reference names, from memory.
    ///
    /// - Throws: `notFound`; `ambiguous` if a prefix fits several.
    public func get(_ reference: String) throws(AgentError) -> Instance { try context.directory.find(reference) }

    /// All that fit a filter, oldest first, from memory.
    public func list(_ filter: InstanceFilter = InstanceFilter()) -> [Instance] {
        context.directory.all().filter(filter.matches)
    }

    /// Waits until an instance is in a state, or cannot come to it any more by itself (it is Stopped, or deleted).
    ///
    /// - Throws: `notFound` if it isn't there, or is deleted meanwhile.
    public func wait(
        _ reference: String,
        for state: InstanceState,
        timeout: Duration
    ) async throws -> InstanceWaitResult {
        let controller = try controller(reference)
        let found = try await controller.wait(within: timeout) { instance in
            instance.state == state || (instance.state == .stopped && instance.desired != .running)
        }
        if let found { return InstanceWaitResult(instance: found, timedOut: false) }
        guard let instance = context.directory.get(controller.id) else {
            throw AgentError(.notFound, "instance '\(reference)' was deleted while it was waited for")
        }
        return InstanceWaitResult(instance: instance, timedOut: true)
    }

    /// An instance's log; see ``InstanceLogs/lines(of:source:tail:follow:)``.
    ///
    /// One that is followed ends when the instance is Stopped: nothing of that run is missing then. Of an instance that
    /// is Stopped already it is what there is.
    public func logs(
        _ reference: String,
        source: LogSource,
        tail: Int?,
        follow: Bool
    ) async throws(AgentError) -> AsyncThrowingStream<LogLine, any Error> {
        let instance = try get(reference)
        var following = LogFollowing.none
        if follow {
            let end = InstanceRunEnd(of: instance, in: context.directory)
            following = .until { await end.wait() }
        }
        return await context.logs.lines(of: instance.id, source: source, tail: tail, follow: following)
    }

    /// What an instance has used since it was last started.
    ///
    /// - Throws: `notFound`; what the network backend says.
    public func usage(_ reference: String) async throws -> InstanceUsage {
        try await controller(reference).usage()
    }

    // MARK: Changes

    /// Makes an instance and starts it; returns when its VMM runs (state Initializing, or beyond).
    ///
    /// - Throws: `invalidArgument` with the field's code, `notFound` for the image, `invalidState` `image_not_ready`,
    ///   `alreadyExists` `name_conflict` or `port_in_use`, `invalidState` `volume_in_use`, `quotaExceeded`, `unavailable`. Nothing is left of an instance
    ///   whose creation failed.
    public func create(_ request: CreateInstanceRequest) async throws -> Instance {
        try await create(request, onAccepted: { _ in })
    }

    /// The same, and says as soon as it is known that there will be an instance: it is stored then, with its name and id.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - onAccepted: Is called once, before anything is made on the host.
    /// - Returns: The instance.
    /// - Throws: As ``create(_:)``.
    public func create(
        _ request: CreateInstanceRequest,
        onAccepted: @Sendable (Instance) -> Void
    ) async throws -> Instance {
        let new = Instance(
            id: .random(),
            specification: try await validated(request),
            createdAt: context.time.now()
        )
        return try await context.admission.admitting(new, new.specification.size) {
            let instance = try await accept(new)
            onAccepted(instance)
            let controller = adopt(instance)
            do {
                try await controller.perform(.create) { try await $0.start(StartInstanceRequest()) }
            } catch {
                await discard(controller)
                throw error
            }
            return try get(instance.id.rawValue)
        }
    }

    /// Stores a new instance with its name, its address and its ports, before anything is made.
    ///
    /// - Parameters:
    ///   - new: The instance.
    ///   - attributes: More for the event.
    ///   - changes: Stored in the same transaction.
    /// - Returns: The instance with its place on the network.
    /// - Throws: `alreadyExists`, `quotaExceeded`, what the store says; nothing is taken then.
    func accept(
        _ new: Instance,
        attributes: [String: String] = [:],
        with changes: [StateChange] = []
    ) async throws -> Instance {
        var instance = new
        let specification = instance.specification
        try context.directory.reserve(specification.name, for: instance.id)
        do {
            try context.volumes.catalog.claim(specification.volumes, by: instance)
            let place = try context.network.reserve(for: instance.id, specification)
            do {
                instance.attachment = place?.0
                let event = EventDraft(
                    time: instance.createdAt,
                    kind: .instanceCreated,
                    subject: instance.id.rawValue,
                    attributes: ["name": specification.name.rawValue, "image": specification.image]
                        .merging(attributes) { _, more in more }
                )
                try await context.store.commit(
                    [.putInstance(instance)] + (place.map { [$0.1] } ?? []) + changes + [.appendEvent(event)]
                )
            } catch {
                context.network.release(instance.id, specification)
                throw error
            }
        } catch {
            context.volumes.catalog.settle(instance.id, on: [])
            context.directory.release(specification.name, for: instance.id)
            throw error
        }
        context.directory.update(instance)
        return instance
    }

    /// Starts a stopped instance; returns when its VMM runs.
    ///
    /// - Throws: `invalidState` unless it is Stopped; `alreadyExists` `port_in_use` if something on the host has taken a
    ///   port that it publishes; `notSupported` `network_unavailable` if the agent has no network any more.
    public func start(
        _ reference: String,
        _ request: StartInstanceRequest = StartInstanceRequest()
    ) async throws -> Instance {
        try await perform(.start, on: reference) { try await $0.start(request) }
    }

    /// Stops an instance: the program's stop signal, then the power button, then the kill.
    ///
    /// Returns when it is Stopped; its ``Instance/exit`` says which step did it. An instance that is stopped already is
    /// returned as it is.
    public func stop(
        _ reference: String,
        _ request: StopInstanceRequest = StopInstanceRequest()
    ) async throws -> Instance {
        try await perform(.stop, on: reference) { try await $0.stop(request) }
    }

    /// Removes an instance and all that belongs to it, from any state, at once.
    ///
    /// Returns when nothing of it is left.
    public func delete(_ reference: String) async throws {
        try await remove(try controller(reference))
    }

    /// Runs a command in an instance.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: The command.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: The command, started.
    /// - Throws: `invalidState` if it isn't Running.
    public func exec(
        _ reference: String,
        _ request: ExecRequest,
        patience: Duration
    ) async throws -> any GuestProcess {
        try await controller(reference).exec(request, patience: patience)
    }

    /// Attaches to an instance's program: its output as it is written to the log, its stdin, its terminal's size, its exit.
    ///
    /// Several may be attached at a time; each has all of the output, and what they write goes to the one program. Who
    /// leaves changes nothing for it.
    ///
    /// - Parameters:
    ///   - reference: Which instance.
    ///   - request: How.
    ///   - patience: How long to wait for an instance that is still Initializing.
    /// - Returns: The hold on it; ``GuestInput/leave()`` lets go.
    /// - Throws: `notSupported` `not_attachable` if the program has neither a terminal nor an open stdin; `invalidState`
    ///   if it isn't Running.
    public func attach(
        _ reference: String,
        _ request: AttachInstanceRequest,
        patience: Duration
    ) async throws -> any GuestConversation {
        let controller = try controller(reference)
        let input = try await controller.attach(patience: patience)
        let end = InstanceRunEnd(of: await controller.instance, in: context.directory)
        let lines = await context.logs.lines(
            of: controller.id,
            source: .app,
            tail: request.includesLog ? nil : 0,
            follow: .until { await end.wait() }
        )
        if let size = request.size { try await input.resize(size) }
        return InstanceAttachment(input: input, output: lines, end: end) { number in
            try await controller.signal(number)
        }
    }

    /// Brings the host's network in line with the instances that run: after something on the host changed it.
    ///
    /// Happens by itself once a minute, and after a failure to attach or detach.
    ///
    /// - Throws: What the network backend says.
    public func reconcileNetwork() async throws { try await context.network.reconcile() }

    // MARK: Controllers

    func controller(_ reference: String) throws(AgentError) -> InstanceController {
        let id = try get(reference).id
        guard let controller = controllers.withLock({ $0[id] }) else {
            throw AgentError(.notFound, "instance '\(reference)' is gone")
        }
        return controller
    }

    /// Gives a stored instance its controller.
    func adopt(_ instance: Instance) -> InstanceController {
        let controller = InstanceController(instance, context: context)
        controllers.withLock { $0[instance.id] = controller }
        return controller
    }

    /// Overtakes what is under way for an instance, and removes it.
    func remove(_ controller: InstanceController) async throws {
        await controller.cancelOperations()
        try await controller.perform(.delete) { try await $0.delete() }
        controllers.withLock { $0[controller.id] = nil }
    }

    /// Removes an instance whose removal nobody waits for; one that cannot be removed now is at the next start.
    func discard(_ controller: InstanceController) async {
        do {
            try await remove(controller)
        } catch {
            context.logger.error(
                "instance not removed",
                metadata: ["instance": "\(controller.id)", "error": "\(error)"]
            )
        }
    }

    /// Lets go of every machine without touching it: called when the agent stops.
    public func shutDown() async {
        await context.network.stop()
        let all = controllers.withLock { Array($0.values) }
        await withTaskGroup(of: Void.self) { group in
            for controller in all { group.addTask { await controller.letGo() } }
        }
    }
}
