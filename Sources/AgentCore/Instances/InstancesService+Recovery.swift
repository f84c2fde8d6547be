import Logging
import SystemPackage

extension InstancesService {
    /// Takes up what an earlier life of the agent left: adopts the machines that run, finishes or undoes what was
    /// interrupted, removes what nobody owns.
    ///
    /// Returns when every instance's state is known; deletes and stops that were interrupted go on by themselves after.
    ///
    /// - Parameters:
    ///   - state: As it was loaded.
    ///   - bootID: The host's present boot: under another one no machine can be left.
    /// - Throws: What the network backend says of a host whose network cannot be brought in line, before anything is
    ///   touched, and what the store says; a single instance that cannot be recovered says so in its own state.
    public func recover(_ state: StoredState, bootID: String) async throws {
        context.catalog.restore(state.snapshots)
        for snapshot in state.snapshots { context.directory.keepImage(of: snapshot) }
        let rebooted = state.bootID != nil && state.bootID != bootID
        context.network.restore(state, running: rebooted ? [] : state.instances.filter { $0.machine != nil })
        try await context.network.reconcile()
        for instance in state.instances { context.directory.update(instance) }
        let controllers = state.instances.map(adopt)
        await withTaskGroup(of: Void.self) { group in
            for controller in controllers {
                group.addTask { await controller.recover(hostRebooted: rebooted) }
            }
        }
        await endInterrupted(state.operations)
        await removeOrphans()
        do {
            // What a standby or a restore that was cut off has left.
            let kept = list().compactMap(\.standby?.snapshot) + context.catalog.all().map(\.id)
            try await context.snapshots.prune(keeping: Set(kept))
        } catch {
            context.logger.error("saved memory of nobody not removed", metadata: ["error": "\(error)"])
        }
        for controller in controllers where await controller.instance.desired == .deleted {
            await discard(controller)
        }
        try await context.store.commit([.setBootID(bootID)])
        context.network.maintain()
    }

    private func endInterrupted(_ operations: [Operation]) async {
        let changes = operations.map { operation in
            var ended = operation
            ended.state = .failed
            ended.error = "the agent was restarted"
            ended.finishedAt = context.time.now()
            return StateChange.putOperation(ended)
        }
        guard !changes.isEmpty else { return }
        do {
            try await context.store.commit(changes)
        } catch {
            context.logger.error("interrupted operations not ended", metadata: ["error": "\(error)"])
        }
    }

    /// Removes disks and runtime directories of instances that are not stored.
    private func removeOrphans() async {
        do {
            for id in try await context.disks.instances() where context.directory.get(id) == nil {
                context.logger.warning(
                    "removing the disks of an instance that does not exist",
                    metadata: ["instance": "\(id)"]
                )
                try await context.disks.remove(id)
                try await context.logs.remove(id)
            }
            for id in try context.runtime.instances() where context.directory.get(id) == nil {
                context.logger.warning(
                    "removing the machine of an instance that does not exist",
                    metadata: ["instance": "\(id)"]
                )
                let (driver, _) = try await context.hypervisors.select(nil)
                try await driver.reap(
                    instance: id,
                    runtimeDirectory: RuntimeDirectory(path: context.runtime.path(of: id))
                )
                try context.runtime.remove(id)
            }
        } catch {
            context.logger.error("leftovers not removed", metadata: ["error": "\(error)"])
        }
    }
}

extension InstanceController {
    /// Brings a stored instance in line with what is really there.
    func recover(hostRebooted: Bool) async {
        let wasLive = instance.machine != nil || instance.state == .created || instance.state == .shutdown
        guard wasLive else { return await recoverAtRest() }
        if hostRebooted {
            await settleStandby()
            await removeLeftovers()
            await observe(.hostRebooted)
            await finishRun()
            return
        }
        guard let record = instance.machine else { return await recoverWithoutMachine() }
        let stoodStill = instance.state == .paused
        do {
            let driver = try context.hypervisors.driver(named: record.hypervisor)
            if let machine = try await driver.adopt(record, instance: id) {
                logger.info("machine adopted", metadata: ["pid": "\(record.process.pid)"])
                // The driver reports again that it stands still, and what is still wrong with it comes up again.
                await observe(.resumed)
                await observe(.problem(nil))
                watch(machine)
                await takeOver(machine, stoodStill: stoodStill)
                return
            }
            await observe(.killing(.machineDied, "the VMM ended while the agent was away"))
        } catch {
            logger.error("machine not adopted", metadata: ["error": "\(error)"])
            await observe(.killing(.machineDied, "the VMM could not be taken over by the restarted agent: \(error)"))
            await removeMachine()
        }
        await settleStandby()
        await observe(.machineExited(.unknown))
        await finishRun()
    }

    /// Finishes what was under way with a machine that lives.
    private func takeOver(_ machine: any VirtualMachine, stoodStill: Bool) async {
        switch instance.desired {
        case .stopped: resumeStop()
        // Its memory is on disk, and it has not run since.
        case .standby: if let run { await end(run) }
        case .running:
            do {
                // It stands still if the agent ended between a pause of its own and the end of it.
                try await machine.resume()
            } catch {
                logger.warning("machine not resumed", metadata: ["error": "\(error)"])
            }
            if let standby = instance.standby {
                await observe(.resumed)
                // A guest that is still to be told who it is may not come to that.
                if instance.formerIdentity == nil { await outlive(standby) }
                await noteStandstill(.restored)
            } else if stoodStill {
                await noteStandstill(.paused)
            }
            await settleSize(of: machine)
        case .paused, .deleted: break
        }
    }

    /// No machine was running, as far as it is stored.
    private func recoverAtRest() async {
        switch (instance.state, instance.desired) {
        case (.standby, .running):
            let gone = await removeMachine()
            await observe(.restoreFailed("the agent was restarted during the restore"), with: gone)
        case (.standby, .stopped): await giveUpStandby()
        default: scheduleRestart()
        }
    }

    /// A start or a clean-up was cut off.
    private func recoverWithoutMachine() async {
        await removeMachine()
        if instance.state == .created, instance.boots <= 1 {
            // Its create never succeeded, so nobody was told of it.
            await observe(.deleteRequested)
        } else if instance.state == .created {
            await observe(.startFailed("the agent was restarted during the start"))
        }
        await finishRun()
    }

    private func resumeStop() {
        Task {
            do {
                try await perform(.stop) { try await $0.stop(StopInstanceRequest()) }
            } catch {
                logger.warning("interrupted stop not finished", metadata: ["error": "\(error)"])
            }
        }
    }
}
