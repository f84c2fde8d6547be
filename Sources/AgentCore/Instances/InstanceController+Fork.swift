import Foundation
import GuestProtocol
import SystemPackage

extension InstanceController {
    // MARK: The source

    /// Gives a new instance a copy of this one's disk, and of its memory where that is wanted; this one goes on as it was.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - copy: The new instance.
    ///   - snapshot: Where its memory goes.
    /// - Returns: What it begins with.
    /// - Throws: As ``InstancesService/fork(_:_:)``; what was copied by then is its caller's to remove.
    func fork(_ request: ForkInstanceRequest, to copy: InstanceID, in snapshot: SnapshotID) async throws -> ForkOrigin {
        var origin = ForkOrigin(target: try target(of: request))
        if instance.state != .stopped, origin.target != .stopped {
            (origin.memory, origin.shared) =
                if let run {
                    try await forkMemory(of: run.machine, to: copy, in: snapshot)
                } else {
                    try await forkMemoryAtRest(to: copy, in: snapshot)
                }
            origin.memory?.takeOrigin(id, instance.attachment?.mac)
        } else if let run {
            try await whileStandingStill(run.machine) { try await context.disks.copyOverlay(of: id, for: copy) }
        } else {
            try await context.disks.copyOverlay(of: id, for: copy)
        }
        return origin
    }

    private func target(of request: ForkInstanceRequest) throws(AgentError) -> InstanceState {
        guard instance.desired != .deleted else {
            throw AgentError(.invalidState, "instance '\(instance.name)' cannot be forked: it is being deleted")
        }
        switch (instance.state, request.target) {
        case (.running, _) where !request.fromRunning:
            throw AgentError(
                .invalidState,
                "instance '\(instance.name)' cannot be forked: it is Running; ask for from_running, which lets it stand "
                    + "still meanwhile, or stop it or put it on standby first"
            )
        case (.running, let target): return target ?? .running
        case (.paused, let target), (.standby, let target): return target ?? .standby
        case (.stopped, .standby):
            throw AgentError(
                .invalidArgument,
                code: "invalid_target_state",
                "instance '\(instance.name)' is Stopped and has no memory: a fork of it is Stopped or Running"
            )
        case (.stopped, let target): return target ?? .stopped
        default: throw instance.refusal("forked", "Running, Paused, Standby or Stopped")
        }
    }

    private func forkMemory(
        of machine: any VirtualMachine,
        to copy: InstanceID,
        in snapshot: SnapshotID
    ) async throws -> (SavedMemory, [SnapshotManifest.File]) {
        try await requireSavable(machine)
        try requireForkable(features: instance.guestFeatures, disks: instance.description?.disks ?? [])
        try await requireSettledVolumes()
        let directory = try await context.snapshots.begin(snapshot)
        let memory = try await whileStandingStill(machine) {
            let memory = try await writeMemory(of: machine, to: directory)
            try await context.disks.copyOverlay(of: id, for: copy)
            return memory
        }
        return (memory, [])
    }

    private func forkMemoryAtRest(
        to copy: InstanceID,
        in snapshot: SnapshotID
    ) async throws -> (SavedMemory, [SnapshotManifest.File]) {
        guard let standby = instance.standby else {
            throw AgentError(.internal, "instance '\(instance.name)' is in Standby without a memory")
        }
        let manifest = try await context.snapshots.manifest(of: standby.snapshot)
        try requireFit(manifest, try await diskStates())
        let origin = try await share(manifest, of: standby.snapshot, with: snapshot)
        try await context.disks.copyOverlay(of: id, for: copy)
        return origin
    }

    // MARK: The new instance

    /// Makes this instance, which is stored and nothing else yet, a copy of another or of a snapshot.
    ///
    /// - Parameter copy: Copies a disk, and a memory into the snapshot that it is given.
    /// - Throws: What it failed of; nothing of a memory is left then, the rest is its delete's to remove.
    func begin(
        from copy: @Sendable (InstanceController, SnapshotID) async throws -> ForkOrigin
    ) async throws {
        let snapshot = SnapshotID.random()
        let target: InstanceState
        do {
            let origin = try await copy(self, snapshot)
            try Task.checkCancellation()
            try await take(origin, in: snapshot)
            target = origin.target
        } catch {
            await remove(snapshot)
            throw error
        }
        guard target == .running else { return }
        if instance.state == .standby { try await restore() } else { try await start(StartInstanceRequest()) }
    }

    private func take(_ origin: ForkOrigin, in snapshot: SnapshotID) async throws {
        guard let memory = origin.memory else { return try await apply(.forked(nil, nil)) }
        let own = try await own(memory)
        try await commit(snapshot, own, try await diskStates(), sharing: origin.shared)
        try await apply(.forked(InstanceStandby(snapshot: snapshot, createdAt: context.time.now()), own))
    }

    /// A memory with this instance's disks and device; it keeps the secret of the session, which the guest in it knows
    /// until it boots anew.
    private func own(_ memory: SavedMemory) async throws -> SavedMemory {
        let specification = instance.specification
        guard let image = context.images.image(of: specification.imageDigest)?.configuration else {
            throw AgentError(
                .invalidState,
                code: "image_not_ready",
                "image '\(specification.image)' is not there; pull it again"
            )
        }
        let guest = try GuestConfiguration(
            instance,
            image: image,
            network: context.network.network,
            session: memory.session
        )
        var own = memory
        own.machine.instance = id
        let paths = [
            GuestConfiguration.DiskSerial.overlay: try await context.disks.createOverlay(
                for: id,
                size: specification.overlaySize
            ),
            GuestConfiguration.DiskSerial.configuration: try await context.disks.writeConfigurationDisk(
                for: id,
                contents: Array(try JSONEncoder().encode(guest))
            ),
        ]
        for index in own.machine.disks.indices {
            if let path = paths[own.machine.disks[index].serial] { own.machine.disks[index].path = path }
        }
        if let tap = instance.attachment?.tap { own.machine.card?.tap = tap }
        return own
    }

    /// Copies what is in a snapshot into this instance.
    func copy(_ source: Snapshot, as target: InstanceState, in snapshot: SnapshotID) async throws -> ForkOrigin {
        let manifest = try await context.snapshots.manifest(of: source.id)
        try await context.snapshots.verify(source.id)
        let directory = context.snapshots.directory(of: source.id)
        var origin = ForkOrigin(target: target)
        if source.kind == .standby, target != .stopped {
            // The guest in it has the volumes mounted as they were.
            try requireFit(manifest, try await volumeStates())
            let (memory, shared) = try await share(manifest, of: source.id, with: snapshot)
            (origin.memory, origin.shared) = (memory, shared)
            origin.memory?.takeOrigin(source.instance, memory.machine.card?.mac)
        }
        try await context.disks.replaceOverlay(
            of: id,
            by: directory.path.appending(SnapshotManifest.overlayName)
        ) {}
        return origin
    }

    // MARK: What both need

    /// Begins a snapshot with the memory of another, once that has proved to be one that can be taken up here.
    private func share(
        _ manifest: SnapshotManifest,
        of source: SnapshotID,
        with snapshot: SnapshotID
    ) async throws -> (SavedMemory, [SnapshotManifest.File]) {
        let (memory, _) = try await checked(manifest)
        try requireForkable(features: memory.guestFeatures, disks: memory.machine.disks)
        _ = try await context.snapshots.begin(snapshot)
        return (memory, try await context.snapshots.share(source, with: snapshot))
    }

    /// Whether there can be a second guest with a memory: it must be able to learn that it is another one, and nothing
    /// that it has open may be anybody else's.
    private func requireForkable(features: [String]?, disks: [MachineDescription.Disk]) throws(AgentError) {
        guard features?.contains(GuestFeature.identity) == true else {
            throw AgentError(
                .notSupported,
                code: "guest_too_old",
                "the guest of instance '\(instance.name)' is too old to become another one, or never answered; fork the "
                    + "disk alone, with target_state Stopped, or start the instance anew first"
            )
        }
        if let other = disks.first(where: { !$0.readOnly && !GuestConfiguration.DiskSerial.own.contains($0.serial) }) {
            throw AgentError(
                .notSupported,
                code: "disk_not_forkable",
                "disk '\(other.serial)' of instance '\(instance.name)' cannot be in two machines: detach it first"
            )
        }
    }
}

extension SavedMemory {
    /// Notes whose memory it is a copy of; one that is a copy already, and whose guest was never told, stays what it was.
    fileprivate mutating func takeOrigin(_ instance: InstanceID, _ mac: MACAddress?) {
        if former == nil { former = FormerIdentity(instance: instance, mac: mac) }
    }
}
