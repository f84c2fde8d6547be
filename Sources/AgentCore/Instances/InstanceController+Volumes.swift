import GuestProtocol
import Logging

extension InstanceController {
    /// How long a VMM may take to plug a disk in or out, and a guest to let go of it.
    private static let plugDeadline = Duration.seconds(30)
    /// How long a guest may take to see a disk and to mount it, its journal replayed, or to write it back.
    private static let mountDeadline = Duration.seconds(60)
    /// How long a guest that does not answer at present is waited for.
    private static let answerDeadline = Duration.seconds(10)

    // MARK: Cold

    /// The disks of a machine that is about to be started.
    func volumeDisks(of asked: InstanceSpecification) async throws -> [MachineDescription.Disk] {
        var disks: [MachineDescription.Disk] = []
        for mount in asked.volumes {
            let path = try await context.volumes.open(mount)
            disks.append(.init(serial: mount.serial, path: path, readOnly: mount.readOnly))
            guard let serial = mount.overlaySerial, let size = mount.overlaySize else { continue }
            let overlay = try await context.disks.createOverlay(for: id, over: mount.volume, size: size)
            disks.append(.init(serial: serial, path: overlay, readOnly: false))
        }
        return disks
    }

    /// What its volumes look like now, for a memory that goes with them.
    func volumeStates() async throws -> [SnapshotManifest.VolumeState] {
        var states: [SnapshotManifest.VolumeState] = []
        for mount in instance.specification.volumes {
            states.append(
                SnapshotManifest.VolumeState(
                    volume: mount.volume,
                    path: mount.path,
                    disk: try await context.volumes.fingerprint(of: mount.volume),
                    overlay: mount.overlaySize == nil
                        ? nil : try await context.disks.fingerprint(of: id, over: mount.volume)
                )
            )
        }
        return states
    }

    /// Whether a memory goes with the volumes as they are now.
    func requireFit(_ manifest: SnapshotManifest, _ volumes: [SnapshotManifest.VolumeState]) throws(AgentError) {
        let former = manifest.volumes ?? []
        func mismatch(_ state: SnapshotManifest.VolumeState, _ what: String) -> AgentError {
            AgentError(
                .invalidState,
                code: "snapshot_volume_mismatch",
                "the memory that was saved of instance '\(instance.name)' does not go with its volumes as they are now: "
                    + "volume \(state.volume) on \(state.path) \(what)"
            )
        }
        for state in former {
            guard let now = volumes.first(where: { $0.volume == state.volume }), now.path == state.path else {
                throw mismatch(state, "was there then, and is not any more")
            }
            guard now == state else {
                throw mismatch(state, "was changed since; a snapshot does not contain volumes")
            }
        }
        for state in volumes where !former.contains(where: { $0.volume == state.volume }) {
            throw mismatch(state, "was not there then: detach it first")
        }
    }

    // MARK: Attach

    /// Gives the instance a volume: at once if it runs, else from its next start on.
    ///
    /// - Throws: `invalidState` unless it is Running or Stopped; what is wrong with the mount; what was not done is undone.
    func attachVolume(_ mount: VolumeMount) async throws {
        let volumes = instance.specification.volumes
        try VolumeMount.check(volumes.filter { $0.volume != mount.volume } + [mount])
        switch instance.state {
        case .stopped:
            try context.volumes.catalog.claim([mount], by: instance)
            do {
                try await apply(.volumesChanged(volumes + [mount]))
            } catch {
                context.volumes.catalog.settle(id, on: volumes)
                throw error
            }
        case .running: try await plugIn(mount)
        default: throw instance.refusal("given a volume", "Running or Stopped")
        }
    }

    private func plugIn(_ mount: VolumeMount) async throws {
        try await requireSettledVolumes()
        let (machine, channel) = try await machineForVolumes()
        let slot = try freeSlot()
        try context.volumes.catalog.claim([mount], by: instance)
        let change: InstanceVolumeChange
        do {
            let path = try await context.volumes.open(mount)
            change = InstanceVolumeChange(
                .attaching,
                mount,
                disk: .init(serial: mount.serial, path: path, readOnly: mount.readOnly, slot: slot)
            )
            try await apply(.volumeChangeBegan(change))
        } catch {
            context.volumes.catalog.settle(id, on: instance.specification.volumes)
            throw error
        }
        do {
            try await plug("plugging volume \(mount.volume) in") { try await machine.attach(change.disk) }
            try await ask("mounting volume \(mount.volume)") { try await channel.mount(mount.guestVolume) }
            try await apply(.volumeChangeDone, with: [event(.volumeAttached, mount)])
        } catch {
            // Also for a caller that was cancelled.
            await Task { await self.finishVolumeChange() }.value
            throw AgentError.wrapping(
                error,
                "volume \(mount.volume) could not be attached to instance '\(instance.name)'"
            )
        }
    }

    // MARK: Detach

    /// Takes a volume from the instance: at once if it runs, else from its next start on.
    ///
    /// - Throws: `notFound` `volume_not_attached`; `invalidState` unless it is Running or Stopped, or if somebody in the
    ///   guest uses the volume, or with `volume_not_hotplugged`; it has it as before then.
    func detachVolume(_ volume: VolumeID) async throws {
        guard let mount = instance.specification.volumes.first(where: { $0.volume == volume }) else {
            throw AgentError(
                .notFound,
                code: "volume_not_attached",
                "instance '\(instance.name)' does not have volume \(volume)"
            )
        }
        switch instance.state {
        case .stopped:
            let rest = instance.specification.volumes.filter { $0.volume != volume }
            try await apply(.volumesChanged(rest))
            context.volumes.catalog.settle(id, on: rest)
            if mount.overlaySize != nil { try await context.disks.removeOverlay(of: id, over: volume) }
        case .running: try await plugOut(mount)
        default: throw instance.refusal("rid of a volume", "Running or Stopped")
        }
    }

    private func plugOut(_ mount: VolumeMount) async throws {
        try await requireSettledVolumes()
        // A detach that was cut off has just been finished.
        guard instance.specification.volumes.contains(mount) else { return }
        guard let disk = instance.description?.disks.first(where: { $0.serial == mount.serial }), disk.slot != nil
        else {
            throw AgentError(
                .invalidState,
                code: "volume_not_hotplugged",
                "volume \(mount.volume) was there when instance '\(instance.name)' was started, and can be detached once "
                    + "it is Stopped"
            )
        }
        let (machine, channel) = try await machineForVolumes()
        try await apply(.volumeChangeBegan(InstanceVolumeChange(.detaching, mount, disk: disk)))
        do {
            try await ask("unmounting volume \(mount.volume)") { try await channel.unmount(mount.guestVolume) }
        } catch {
            try await failDetach(of: mount, error)
        }
        do {
            try await plug("taking volume \(mount.volume) out") { try await machine.detach(disk) }
        } catch {
            await Task { await self.putBack(mount) }.value
            throw AgentError.wrapping(
                error,
                "volume \(mount.volume) could not be taken out of instance '\(instance.name)'"
            )
        }
        try await apply(.volumeChangeDone, with: [event(.volumeDetached, mount)])
        context.volumes.catalog.settle(id, on: instance.specification.volumes)
    }

    /// A guest that said no has it as before; of one that said nothing nobody knows, until it answers again.
    private func failDetach(of mount: VolumeMount, _ error: any Error) async throws -> Never {
        if let error = error as? AgentError, Self.isRefusal(error) {
            await observe(.volumeChangeGivenUp)
        } else {
            await noteUnsettled(mount, error)
        }
        throw AgentError.wrapping(
            error,
            "volume \(mount.volume) could not be detached from instance '\(instance.name)'"
        )
    }

    /// The machine kept the disk: the guest has it again.
    private func putBack(_ mount: VolumeMount) async {
        guard !isLetGo, instance.volumeChange != nil else { return }
        do {
            guard let channel else { throw AgentError(.unavailable, "the guest does not answer") }
            try await ask("mounting volume \(mount.volume) again") { try await channel.mount(mount.guestVolume) }
            await observe(.volumeChangeGivenUp)
        } catch {
            await noteUnsettled(mount, error)
        }
    }

    // MARK: What was cut off

    /// Sees to a change that was cut off, once the operations before it are through: there is a guest again that can tell.
    func settleVolumeChangeSoon() {
        guard let change = instance.volumeChange else { return }
        Task {
            do {
                try await perform(change.kind == .attaching ? .attachVolume : .detachVolume) {
                    await $0.finishVolumeChange()
                }
            } catch {
                logger.warning("volume change not settled", metadata: ["error": "\(error)"])
            }
        }
    }

    /// - Throws: `busy` if a change that was cut off cannot be settled now either.
    func requireSettledVolumes() async throws {
        await finishVolumeChange()
        guard let change = instance.volumeChange else { return }
        throw AgentError(
            .busy,
            code: "volume_change_pending",
            "volume \(change.mount.volume) of instance '\(instance.name)' was being "
                + "\(change.kind == .attaching ? "attached" : "detached") when that was cut off, and the guest does not let "
                + "it be finished; try again, or stop the instance"
        )
    }

    /// Undoes an attach, or finishes a detach.
    private func finishVolumeChange() async {
        guard !isLetGo, let change = instance.volumeChange, instance.state == .running, let run else { return }
        let mount = change.mount
        do {
            if channel == nil { try await awaitChannel(within: Self.answerDeadline) }
            guard let channel else { throw AgentError(.unavailable, "the guest does not answer") }
            do {
                try await ask("unmounting volume \(mount.volume)") { try await channel.unmount(mount.guestVolume) }
            } catch let error as AgentError where change.kind == .detaching && Self.isRefusal(error) {
                return await observe(.volumeChangeGivenUp)
            }
            try await plug("taking volume \(mount.volume) out") {
                try await run.machine.detach(change.disk)
            }
            let isDetach = change.kind == .detaching
            try await apply(
                isDetach ? .volumeChangeDone : .volumeChangeGivenUp,
                with: isDetach ? [event(.volumeDetached, mount)] : []
            )
            context.volumes.catalog.settle(id, on: instance.specification.volumes)
        } catch {
            await noteUnsettled(mount, error)
        }
    }

    private func noteUnsettled(_ mount: VolumeMount, _ error: any Error) async {
        logger.error(
            "volume neither attached nor detached",
            metadata: ["volume": "\(mount.volume)", "error": "\(error)"]
        )
        // The machine has gone, and with it what was to be settled.
        guard instance.volumeChange != nil else { return }
        await observe(
            .problem("volume \(mount.volume) is neither attached nor detached, until the guest answers again: \(error)")
        )
    }

    // MARK: Parts

    /// Whether the guest has done nothing.
    private static func isRefusal(_ error: AgentError) -> Bool {
        [.invalidState, .invalidArgument, .notSupported].contains(error.kind)
    }

    /// What a change needs: a hypervisor that can, and a guest that answers and knows of volumes.
    private func machineForVolumes() async throws -> (any VirtualMachine, any GuestChannel) {
        guard let run else { throw instance.refusal("given or rid of a volume", "Running") }
        let driver = try context.hypervisors.driver(named: run.machine.record.hypervisor)
        let information = try await driver.information()
        guard information.capabilities.hotplug else {
            throw AgentError(
                .notSupported,
                code: "hotplug_not_supported",
                "\(information.name) \(information.version) cannot change the disks of a machine that runs; stop the instance "
                    + "first"
            )
        }
        if channel == nil { try await awaitChannel(within: Self.answerDeadline) }
        guard let channel else {
            throw AgentError(
                .unavailable,
                "the guest of instance '\(instance.name)' does not answer at present; try again"
            )
        }
        guard channel.hello.features.contains(GuestFeature.volumes) else {
            throw AgentError(
                .notSupported,
                code: "guest_too_old",
                "the hypeman-init \(channel.hello.initVersion) of instance '\(instance.name)' cannot mount volumes while it "
                    + "runs; stop the instance first"
            )
        }
        return (run.machine, channel)
    }

    private func freeSlot() throws(AgentError) -> Int {
        let taken = (instance.description?.disks ?? []).map(\.slot) + [instance.description?.card?.slot]
        guard let slot = (0..<MachineDescription.slots).first(where: { !taken.contains($0) }) else {
            throw AgentError(
                .quotaExceeded,
                code: "no_free_slot",
                "instance '\(instance.name)' has \(MachineDescription.slots) devices that were plugged in while it ran, which "
                    + "is all it can have; stop and start it to make them part of it"
            )
        }
        return slot
    }

    private func plug(_ what: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withDeadline(Self.plugDeadline, clock: context.time.clock, what, body)
    }

    private func ask(_ what: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withDeadline(Self.mountDeadline, clock: context.time.clock, what, body)
    }

    private func event(_ kind: EventDraft.Kind, _ mount: VolumeMount) -> StateChange {
        .appendEvent(
            EventDraft(
                time: context.time.now(),
                kind: kind,
                subject: mount.volume.rawValue,
                attributes: ["instance": id.rawValue, "path": mount.path.rawValue]
            )
        )
    }
}
