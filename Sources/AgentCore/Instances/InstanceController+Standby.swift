import GuestProtocol
import Logging
import SystemPackage

extension InstanceController {
    /// The least that saving or taking up memory may take.
    private static let memoryDeadline = Duration.seconds(60)
    /// What the slowest disk is given for a MiB of memory.
    private static let memoryDeadlinePerMebibyte = Duration.milliseconds(50)
    /// How long a restore waits for the guest's answer before it returns without.
    private static let answerDeadline = Duration.seconds(10)

    private var memoryDeadline: Duration {
        let mebibytes = instance.specification.memory.bytes / ByteSize.mebibytes(1).bytes
        return Self.memoryDeadline + Self.memoryDeadlinePerMebibyte * Int(mebibytes)
    }

    // MARK: Standby

    /// Puts the memory on disk and ends the VMM.
    ///
    /// A failure at any step before the memory is safe lets the machine go on as it was.
    func standby() async throws {
        guard let run, instance.state == .running || instance.state == .paused else {
            if instance.state == .standby { return }
            throw instance.refusal("put on standby", "Running or Paused")
        }
        try await requireSavable(run.machine)
        try await requireSettledVolumes()
        let ran = instance.state == .running
        let former = instance.standby
        let id = SnapshotID.random()
        do {
            if ran { try await standStill(run.machine) }
            try await save(run.machine, as: id)
            try await apply(.saved(InstanceStandby(snapshot: id, createdAt: context.time.now())))
        } catch {
            await remove(id)
            if ran { await goOn(run.machine) }
            throw error is CancellationError
                ? error : AgentError.wrapping(error, "instance '\(instance.name)' could not be put on standby")
        }
        // From here on its memory is on disk: whatever becomes of the VMM, it is in Standby.
        if let former { await remove(former.snapshot) }
        await end(run)
    }

    private func save(_ machine: any VirtualMachine, as id: SnapshotID) async throws {
        let directory = try await context.snapshots.begin(id)
        let memory = try await writeMemory(of: machine, to: directory)
        try await commit(id, memory, try await diskStates())
    }

    /// Whether a machine can be saved at all.
    func requireSavable(_ machine: any VirtualMachine) async throws {
        guard shortages == 0 else {
            throw AgentError(
                .invalidState,
                code: "host_disk_full",
                "instance '\(instance.name)' waits for room on the host's disk; free some space and try again"
            )
        }
        try await requireSnapshots(of: try context.hypervisors.driver(named: machine.record.hypervisor))
    }

    /// Makes what was begun durable; `shared` are those of its files that are another snapshot's, too.
    func commit(
        _ snapshot: SnapshotID,
        _ memory: SavedMemory?,
        _ disks: DiskStates,
        sharing shared: [SnapshotManifest.File] = []
    ) async throws {
        let manifest = SnapshotManifest(
            instance: id,
            createdAt: context.time.now(),
            memory: memory,
            overlay: disks.overlay,
            volumes: disks.volumes,
            files: shared
        )
        try await context.snapshots.commit(snapshot, manifest)
    }

    /// Has the VMM write the memory of a machine that stands still.
    func writeMemory(of machine: any VirtualMachine, to directory: SnapshotDirectory) async throws -> SavedMemory {
        try await withDeadline(
            memoryDeadline,
            clock: context.time.clock,
            "saving the memory of instance '\(instance.name)'"
        ) { try await machine.snapshot(to: directory) }
        guard var description = instance.description else {
            throw AgentError(.internal, "nothing is stored of the machine of instance '\(instance.name)'")
        }
        // Measured: it is taken up with as many vCPUs as were saved, or not at all.
        if description.largestSize != nil, let size = try await machine.counters().size,
            size != description.currentSize
        {
            description.resized = size
        }
        let logged = try await context.logs.outputPosition(of: id, boot: instance.boots)
        return SavedMemory(
            hypervisor: machine.record.hypervisor,
            version: machine.record.version,
            accelerator: machine.record.accelerator,
            processor: HostProcessor.model,
            session: machine.record.session,
            machine: description,
            outputPosition: (instance.outputStart ?? 0) + logged,
            former: instance.formerIdentity,
            guestFeatures: instance.guestFeatures
        )
    }

    /// Ends a VMM whose end nobody's answer depends on.
    func end(_ run: Run) async {
        do {
            try await kill(run)
        } catch {
            logger.error("VMM not ended", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Restore

    /// Takes the memory up from disk; returns when the program runs on, and the guest knows what time it is.
    ///
    /// A failure at any step leaves it in Standby, as long as its machine has not run.
    func restore() async throws {
        guard instance.state == .standby, let standby = instance.standby else {
            throw instance.refusal("restored", "Standby")
        }
        let (memory, driver) = try await checked(standby)
        try requirePlace()
        try await context.admission.admitting(instance, memory.machine.currentSize) {
            try await restore(memory, of: standby, by: driver)
        }
        guard channel == nil else { return }
        // Cancelled, the only error there is: it runs, and what overtakes this has its own turn.
        try? await awaitChannel(within: Self.answerDeadline)
    }

    private func restore(
        _ memory: SavedMemory,
        of standby: InstanceStandby,
        by driver: any HypervisorDriver
    ) async throws {
        let resources = [machineResource] + (instance.endpoint.map { [$0.resource] } ?? [])
        try await apply(.restoreRequested, with: resources.map(StateChange.recordResource))
        do {
            try await withDeadline(
                memoryDeadline,
                clock: context.time.clock,
                "restoring instance '\(instance.name)'"
            ) { try await self.takeUp(memory, of: standby, by: driver) }
            try await awaitIdentity()
        } catch {
            let failure = AgentError.wrapping(error, "instance '\(instance.name)' could not be restored")
            await undoRestore(failure)
            throw error is CancellationError ? error : failure
        }
        guard await outlive(standby) else {
            throw AgentError(
                .unavailable,
                code: "vmm_died",
                "the VMM of instance '\(instance.name)' ended by itself as soon as its memory was taken up; the memory is "
                    + "still on disk, and can be taken up again"
            )
        }
    }

    /// Its guest's address is in its memory: another one would leave it without a network, and nobody would say why.
    private func requirePlace() throws(AgentError) {
        guard let (place, _) = try context.network.replacement(for: instance), let former = instance.attachment,
            place.address != former.address || place.mac != former.mac
        else { return }
        throw AgentError(
            .invalidState,
            code: "network_changed",
            "the agent's subnet was changed since the memory of instance '\(instance.name)' was saved, and its address "
                + "\(former.address) is not in it: set SUBNET_CIDR back, or stop the instance, which gives its memory up"
        )
    }

    /// What is needed for a restore, once all of it has proved to fit.
    private func checked(_ standby: InstanceStandby) async throws -> (SavedMemory, any HypervisorDriver) {
        let manifest = try await context.snapshots.manifest(of: standby.snapshot)
        let (memory, driver) = try await checked(manifest)
        try requireFit(manifest, try await diskStates())
        return (memory, driver)
    }

    /// What the disks that it writes to, or others may, look like while it stands still.
    struct DiskStates: Hashable {
        var overlay: DiskFingerprint
        var volumes: [SnapshotManifest.VolumeState]
    }

    func diskStates() async throws -> DiskStates {
        DiskStates(overlay: try await context.disks.fingerprint(of: id), volumes: try await volumeStates())
    }

    /// Whether a memory goes with the disks as they are now.
    func requireFit(_ manifest: SnapshotManifest, _ disks: DiskStates) throws(AgentError) {
        try requireFit(manifest, disks.volumes)
        guard disks.overlay != manifest.overlay else { return }
        throw AgentError(
            .invalidState,
            code: "snapshot_disk_mismatch",
            "the disk of instance '\(instance.name)' was changed since its memory was saved, and they do not fit any "
                + "more: stop the instance, which gives its memory up, and start it"
        )
    }

    /// The memory that a manifest speaks of, once the hypervisor here has proved to fit it.
    func checked(_ manifest: SnapshotManifest) async throws -> (SavedMemory, any HypervisorDriver) {
        guard let memory = manifest.memory else {
            throw AgentError(.invalidState, code: "snapshot_corrupt", "there is no memory in what was saved")
        }
        let driver = try context.hypervisors.driver(named: memory.hypervisor)
        try memory.check(try await requireSnapshots(of: driver), processor: HostProcessor.model)
        return (memory, driver)
    }

    private func takeUp(
        _ memory: SavedMemory,
        of standby: InstanceStandby,
        by driver: any HypervisorDriver
    ) async throws {
        guard let root = try await context.imageStore.rootDisk(of: instance.specification.imageDigest) else {
            throw AgentError(
                .invalidState,
                code: "image_not_ready",
                "the root disk of image '\(instance.specification.image)' is not there; pull it again"
            )
        }
        if let endpoint = instance.endpoint { try await attach(endpoint) }
        var machine = memory.machine
        machine.runtimeDirectory = try context.runtime.create(for: id)
        for index in machine.disks.indices where machine.disks[index].serial == GuestConfiguration.DiskSerial.root {
            machine.disks[index].path = root.path
        }
        if let tap = instance.endpoint?.attachment.tap { machine.card?.tap = tap }
        let live = try await load(machine, from: standby.snapshot, session: memory.session, by: driver)
        do {
            try await apply(.restored(live.record, machine))
            // A restore that was given up at its deadline may still come this far.
            guard instance.machine == live.record else { throw CancellationError() }
        } catch {
            await live.kill()
            throw error
        }
        watch(live)
        try await live.resume()
        await observe(.resumed)
        await noteStandstill(.restored)
    }

    /// Has a VMM take a memory up while its files are checked: a machine stands still until both are done.
    ///
    /// - Throws: What is wrong with the files, whatever the VMM makes of them.
    private func load(
        _ machine: MachineDescription,
        from snapshot: SnapshotID,
        session: String,
        by driver: any HypervisorDriver
    ) async throws -> any VirtualMachine {
        let snapshots = context.snapshots
        async let verification: Void = snapshots.verify(snapshot)
        let live: any VirtualMachine
        do {
            live = try await driver.restore(machine, from: snapshots.directory(of: snapshot), session: session)
        } catch {
            try await verification
            throw error
        }
        do {
            try await verification
        } catch {
            await live.kill()
            throw error
        }
        return live
    }

    private func undoRestore(_ failure: AgentError) async {
        if let run {
            await observe(.killing(.startFailed, failure.description))
            await end(run)
        }
        let gone = await removeMachine()
        await observe(.restoreFailed(failure.description), with: gone)
    }

    // MARK: What is on disk

    /// Whether the saved memory of a machine that was taken up, and is gone, is still good: its program has not come to its
    /// end, and its disk was not written to.
    ///
    /// Called before the end of the machine is applied, which then leads to Standby or to Stopped.
    func settleStandby() async {
        guard let standby = instance.standby, instance.desired != .standby, instance.desired != .deleted else { return }
        do {
            let manifest = try await context.snapshots.manifest(of: standby.snapshot)
            let former = DiskStates(overlay: manifest.overlay, volumes: manifest.volumes ?? [])
            if try await diskStates() == former, instance.exit == nil { return }
        } catch {
            logger.error("saved memory not readable", metadata: ["error": "\(error)"])
        }
        await giveUpStandby()
    }

    /// The memory on disk is of no use any more; Standby becomes Stopped.
    func giveUpStandby() async {
        guard let standby = instance.standby else { return }
        await forget(standby, by: .standbyForgotten)
    }

    /// The same ahead of a change that the memory would not go with any more.
    ///
    /// - Throws: If that cannot be stored; the memory is still the instance's, and the change must not be made.
    func abandonStandby() async throws {
        guard let standby = instance.standby else { return }
        try await apply(.standbyForgotten)
        await remove(standby.snapshot)
    }

    /// The memory on disk is of no use any more, since its machine runs on.
    ///
    /// - Returns: Whether it does: if it is gone, its end has decided on the memory.
    @discardableResult
    func outlive(_ standby: InstanceStandby) async -> Bool {
        if let record = instance.machine { await forget(standby, by: .standbyOutlived(record)) }
        return instance.standby != standby
    }

    /// Also for a caller that was cancelled: what is removed must not be what the instance is thought to have.
    private func forget(_ standby: InstanceStandby, by transition: InstanceTransition) async {
        await Task {
            await observe(transition)
            if instance.standby != standby { await remove(standby.snapshot) }
        }.value
    }

    /// One that cannot be removed now is at the agent's next start.
    func remove(_ snapshot: SnapshotID) async {
        let snapshots = context.snapshots
        do {
            // Also for a caller that was cancelled.
            try await Task { try await snapshots.remove(snapshot) }.value
        } catch {
            logger.error("saved memory not removed", metadata: ["snapshot": "\(snapshot)", "error": "\(error)"])
        }
    }

    @discardableResult
    func requireSnapshots(of driver: any HypervisorDriver) async throws -> HypervisorInformation {
        let information = try await driver.information()
        guard information.capabilities.snapshot else {
            throw AgentError(
                .notSupported,
                code: "snapshot_not_supported",
                "\(driver.name) \(information.version) cannot save a machine's memory"
            )
        }
        return information
    }
}
