import Synchronization

extension InstancesService {
    /// Makes a new instance that goes on where another is, which goes on as it was, too.
    ///
    /// It has a name, an address, a disk and a log of its own, and what was asked for of the other: image, size,
    /// environment, tags, limits and restart policy, but no published ports. From memory (a source in Standby, Paused, or
    /// Running where the request allows that) its guest runs on as the other's did; it is told that it is another one before
    /// anything else is asked of it. Without memory, or with the target Stopped, the disk is what it was at that moment: of
    /// one that runs, as after a power cut.
    ///
    /// - Parameters:
    ///   - reference: The source.
    ///   - request: What is asked for.
    ///   - onAccepted: Is called once the new instance is stored, before anything is made on the host.
    /// - Returns: The new instance in its target state; one that is started from its disk is Initializing, or beyond.
    /// - Throws: `invalidState` if the source is in no state for it, or Running and the request does not allow that;
    ///   `invalidArgument` `invalid_target_state`; `notSupported` `guest_too_old`, `disk_not_forkable` or
    ///   `snapshot_not_supported`; `invalidState` `volumes_not_forkable` if the source writes to a volume; what ``create(_:)`` says of a name, a port or an address; what ``restore(_:)`` and
    ///   ``start(_:_:)`` say. Nothing is left of a fork that failed.
    public func fork(
        _ reference: String,
        _ request: ForkInstanceRequest,
        onAccepted: @Sendable (Instance) -> Void
    ) async throws -> Instance {
        let source = try controller(reference)
        let specification = try forked(await source.instance.specification, request)
        return try await fork(specification, ["source": source.id.rawValue], onAccepted) { new, snapshot in
            let copy = new.id
            let origin = Mutex<ForkOrigin?>(nil)
            try await source.perform(.fork, followsCaller: true) { source in
                let made = try await source.fork(request, to: copy, in: snapshot)
                origin.withLock { $0 = made }
            }
            guard let made = origin.withLock({ $0 }) else {
                throw AgentError(.internal, "nothing was copied of instance \(source.id)")
            }
            return made
        }
    }

    /// Makes a new instance that goes on where another was when a snapshot was made of it, whatever has become of it since.
    ///
    /// - Parameters:
    ///   - reference: The snapshot's id, name, or a prefix of the id.
    ///   - request: What is asked for; nil as the target is the snapshot's own kind.
    ///   - onAccepted: As of ``fork(_:_:onAccepted:)``.
    /// - Returns: As ``fork(_:_:onAccepted:)``.
    /// - Throws: As ``fork(_:_:onAccepted:)``; `notFound`; `ambiguous`; `invalidState` `snapshot_without_instance` if an older release
    ///   made the snapshot and its instance is gone; what ``restore(_:)`` says of a snapshot that does not fit.
    public func forkSnapshot(
        _ reference: String,
        _ request: ForkInstanceRequest,
        onAccepted: @Sendable (Instance) -> Void
    ) async throws -> Instance {
        let source = try context.catalog.find(reference)
        let target = try target(of: source, request)
        guard let asked = source.specification ?? context.directory.get(source.instance)?.specification else {
            throw AgentError(
                .invalidState,
                code: "snapshot_without_instance",
                "snapshot \(source.id) does not say what its instance was, and that is gone"
            )
        }
        let attributes = ["source": source.instance.rawValue, "snapshot": source.id.rawValue]
        return try await fork(try forked(asked, request), attributes, onAccepted) { new, snapshot in
            try await new.copy(source, as: target, in: snapshot)
        }
    }

    /// As ``fork(_:_:onAccepted:)``, for who waits for all of it.
    public func fork(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance {
        try await fork(reference, request, onAccepted: { _ in })
    }

    /// As ``forkSnapshot(_:_:onAccepted:)``, for who waits for all of it.
    public func forkSnapshot(_ reference: String, _ request: ForkInstanceRequest) async throws -> Instance {
        try await forkSnapshot(reference, request, onAccepted: { _ in })
    }

    private func target(
        of snapshot: Snapshot,
        _ request: ForkInstanceRequest
    ) throws(AgentError) -> InstanceState {
        switch (snapshot.kind, request.target) {
        case (.standby, let target): return target ?? .standby
        case (.stopped, .standby):
            throw AgentError(
                .invalidArgument,
                code: "invalid_target_state",
                "snapshot \(snapshot.id) has no memory: a fork of it is Stopped or Running"
            )
        case (.stopped, let target): return target ?? .stopped
        }
    }

    /// What is asked for of the new instance, checked against what is allowed today.
    private func forked(
        _ source: InstanceSpecification,
        _ request: ForkInstanceRequest
    ) throws(AgentError) -> InstanceSpecification {
        // One that somebody writes to cannot be mounted twice, and a copy of it would be a volume that nobody asked for.
        if let volume = source.volumes.first(where: { !$0.readOnly || $0.overlaySize != nil }) {
            throw AgentError(
                .invalidState,
                code: "volumes_not_forkable",
                "instance '\(source.name)' writes to volume \(volume.volume) on \(volume.path), which a fork cannot have "
                    + "too: detach it first"
            )
        }
        var create = CreateInstanceRequest(name: request.name, image: try ImageReference(source.image))
        create.networkEnabled = source.networkEnabled
        create.publishedPorts = request.publishedPorts
        var specification = source
        specification.name = request.name
        specification.publishedPorts = try publishedPorts(create)
        _ = try networkEnabled(source.networkEnabled)
        _ = try vcpus(source.vcpus)
        _ = try memory(source.memory)
        _ = try overlaySize(source.overlaySize)
        return specification
    }

    private func fork(
        _ specification: InstanceSpecification,
        _ attributes: [String: String],
        _ onAccepted: @Sendable (Instance) -> Void,
        from copy: @escaping @Sendable (InstanceController, SnapshotID) async throws -> ForkOrigin
    ) async throws -> Instance {
        let new = Instance(id: .random(), specification: specification, createdAt: context.time.now())
        let disks = HostResource(owner: new.id, kind: .disks, value: "")
        let instance = try await accept(new, attributes: attributes, with: [.recordResource(disks)])
        onAccepted(instance)
        let controller = adopt(instance)
        do {
            try await controller.perform(.create) { try await $0.begin(from: copy) }
        } catch {
            await discard(controller)
            throw error
        }
        return try get(instance.id.rawValue)
    }
}
