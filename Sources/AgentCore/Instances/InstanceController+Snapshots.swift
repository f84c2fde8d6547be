import Foundation
import Logging
import SystemPackage

extension InstanceController {
    // MARK: Making one

    /// Keeps the instance as it is now; it goes on as it was.
    ///
    /// On an error nothing of the snapshot is left.
    func snapshot(_ request: CreateSnapshotRequest, as snapshot: SnapshotID) async throws {
        switch (request.kind, instance.state) {
        case (.standby, .running), (.standby, .paused), (.standby, .standby), (.stopped, .stopped): break
        case (.standby, _): throw instance.refusal("kept with its memory", "Running, Paused or Standby")
        case (.stopped, _): throw instance.refusal("kept without its memory", "Stopped")
        }
        do {
            let directory = try await context.snapshots.begin(snapshot)
            if let run {
                try await keep(run.machine, in: directory, as: snapshot)
            } else {
                try await keepAtRest(in: directory, as: snapshot)
            }
            try await store(request, as: snapshot)
        } catch {
            await remove(snapshot)
            throw AgentError.wrapping(error, "no snapshot could be made of instance '\(instance.name)'")
        }
    }

    private func store(_ request: CreateSnapshotRequest, as id: SnapshotID) async throws {
        let snapshot = Snapshot(
            id: id,
            name: request.name,
            kind: request.kind,
            instance: self.id,
            instanceName: instance.name,
            createdAt: context.time.now(),
            size: try await context.snapshots.usage(of: id),
            hypervisor: request.kind == .standby ? instance.hypervisor : nil,
            tags: request.tags,
            specification: instance.specification
        )
        var attributes = ["instance": self.id.rawValue, "kind": request.kind.rawValue]
        attributes["name"] = request.name?.rawValue
        let event = EventDraft(
            time: snapshot.createdAt,
            kind: .snapshotCreated,
            subject: id.rawValue,
            attributes: attributes
        )
        try await context.store.commit([.putSnapshot(snapshot), .appendEvent(event)])
        context.catalog.add(snapshot)
        context.directory.keepImage(of: snapshot)
    }

    /// Memory and disk of a machine that lives, which stands still meanwhile.
    private func keep(
        _ machine: any VirtualMachine,
        in directory: SnapshotDirectory,
        as snapshot: SnapshotID
    ) async throws {
        try await requireSavable(machine)
        try await requireSettledVolumes()
        let (memory, disks) = try await whileStandingStill(machine) {
            let memory = try await writeMemory(of: machine, to: directory)
            try await copyOverlay(to: directory)
            return (memory, try await diskStates())
        }
        // The checksums need no machine that waits for them.
        try await commit(snapshot, memory, disks)
    }

    /// What lies on disk already.
    private func keepAtRest(in directory: SnapshotDirectory, as snapshot: SnapshotID) async throws {
        let disks = try await diskStates()
        var memory: SavedMemory?
        var shared: [SnapshotManifest.File] = []
        if let standby = instance.standby {
            let manifest = try await context.snapshots.manifest(of: standby.snapshot)
            try requireFit(manifest, disks)
            shared = try await context.snapshots.share(standby.snapshot, with: snapshot)
            memory = manifest.memory
        }
        try await copyOverlay(to: directory)
        try await commit(snapshot, memory, disks, sharing: shared)
    }

    private func copyOverlay(to directory: SnapshotDirectory) async throws {
        try await context.disks.copyOverlay(of: id, to: directory.path.appending(SnapshotManifest.overlayName))
    }

    // MARK: Bringing one back

    /// Makes the instance what it was in a snapshot of its own; what it is now is lost.
    ///
    /// - Parameters:
    ///   - snapshot: Which.
    ///   - target: `running`, `standby` or `stopped`; nil leaves it as it lay in the snapshot.
    /// - Throws: `invalidState` unless it is Stopped or in Standby; what a restore or a start says, with the snapshot in
    ///   place then. Up to that point a failure leaves the instance as it was.
    func bringBack(_ snapshot: Snapshot, to target: InstanceState?) async throws {
        guard snapshot.instance == id else {
            throw AgentError(
                .invalidArgument,
                code: "snapshot_of_another_instance",
                "snapshot \(snapshot.id) is of instance \(snapshot.instance) (\(snapshot.instanceName)), not of "
                    + "'\(instance.name)'"
            )
        }
        try require(target, of: snapshot)
        guard instance.state == .stopped || instance.state == .standby else {
            throw instance.refusal("brought back to a snapshot", "Stopped or Standby")
        }
        let manifest = try await context.snapshots.manifest(of: snapshot.id)
        if snapshot.kind == .standby {
            _ = try await checked(manifest)
            try requireFit(manifest, try await volumeStates())
        }
        try await context.snapshots.verify(snapshot.id)
        let directory = context.snapshots.directory(of: snapshot.id)

        let id = SnapshotID.random()
        do {
            var shared: [SnapshotManifest.File] = []
            if manifest.memory != nil {
                _ = try await context.snapshots.begin(id)
                shared = try await context.snapshots.share(snapshot.id, with: id)
            }
            try await context.disks.replaceOverlay(
                of: self.id,
                by: directory.path.appending(SnapshotManifest.overlayName)
            ) {
                // What was saved before does not go with the disk that comes, and nothing but its place is missing now.
                try await self.abandonStandby()
            }
            var standby: InstanceStandby?
            if let memory = manifest.memory {
                try await commit(id, memory, try await diskStates(), sharing: shared)
                standby = InstanceStandby(snapshot: id, createdAt: manifest.createdAt)
            }
            let memory = manifest.memory
            try await apply(.broughtBack(standby, outputStart: memory?.outputPosition, former: memory?.former))
        } catch {
            await remove(id)
            throw AgentError.wrapping(error, "instance '\(instance.name)' could not be brought back")
        }
        guard target == .running else { return }
        if snapshot.kind == .standby { try await restore() } else { try await start(StartInstanceRequest()) }
    }

    private func require(_ target: InstanceState?, of snapshot: Snapshot) throws(AgentError) {
        switch (snapshot.kind, target) {
        case (_, nil), (_, .running), (.standby, .standby), (.stopped, .stopped): return
        default:
            throw AgentError(
                .invalidArgument,
                code: "invalid_target_state",
                "a snapshot of kind \(snapshot.kind.rawValue) can be brought back to \(snapshot.kind.rawValue) or Running, "
                    + "not to \(target?.rawValue ?? "")"
            )
        }
    }
}
