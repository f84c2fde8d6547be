import Foundation
import GuestProtocol
import Logging
import SystemPackage

extension InstanceController {
    /// The journal entry of an instance's machine: the directory tells what to look for after a crash.
    var machineResource: HostResource {
        HostResource(owner: id, kind: .machine, value: context.runtime.path(of: id).string)
    }

    var diskResource: HostResource { HostResource(owner: id, kind: .disks, value: "") }

    /// How long a start may take until the VMM runs; generous, since the host may be busy.
    private static let startDeadline = Duration.seconds(60)
    /// How long a killed VMM may take to be gone.
    private static let killDeadline = Duration.seconds(20)
    /// How long a stop waits for a guest that does not answer at present: the agent was just started, or the connection
    /// was lost.
    private static let answerDeadline = Duration.seconds(5)
    /// How long a guest whose program was killed may take to write its disks back and power off.
    private static let powerOffDeadline = Duration.seconds(10)

    // MARK: Start

    /// Starts the machine; returns when the VMM runs.
    ///
    /// On an error nothing of the start is left.
    ///
    /// - Parameter request: nil if it is the restart policy that starts it.
    /// - Throws: What the start failed of; `invalidState` if the state does not allow one.
    func start(_ request: StartInstanceRequest?) async throws {
        isHostGoing = false
        if instance.state == .shutdown {
            _ = try await wait(within: Self.powerOffDeadline) { $0.state != .shutdown }
        }
        if instance.state == .stopped || instance.state == .created { try await settleOnNetwork() }
        let resources = [machineResource, diskResource] + (instance.endpoint.map { [$0.resource] } ?? [])
        try await apply(
            request.map(InstanceTransition.startRequested) ?? .restartRequested,
            with: resources.map(StateChange.recordResource)
        )
        do {
            try await withDeadline(
                Self.startDeadline,
                clock: context.time.clock,
                "starting instance '\(instance.name)'"
            ) {
                try await self.boot()
            }
        } catch {
            let failure = AgentError.wrapping(error, "instance '\(instance.name)' could not be started")
            await undoStart(failure)
            if error is CancellationError { throw error }
            throw failure
        }
    }

    /// Sees that the instance's address is one of the agent's network.
    private func settleOnNetwork() async throws {
        guard let (attachment, change) = try context.network.replacement(for: instance) else { return }
        let former = instance.attachment?.address
        try await apply(.placed(attachment), with: [change])
        guard let former, former != attachment.address else { return }
        logger.warning(
            "the instance has another address, since the agent's subnet was changed",
            metadata: ["address": "\(attachment.address)", "former": "\(former)"]
        )
    }

    private func boot() async throws {
        let clock = ContinuousClock()
        var phases: [StartPhase: Duration] = [:]
        var mark = clock.now
        func endPhase(_ phase: StartPhase) {
            let now = clock.now
            phases[phase] = now - mark
            mark = now
        }
        let asked = instance.specification
        guard let image = context.images.image(of: asked.imageDigest), let configuration = image.configuration,
            let root = try await context.imageStore.rootDisk(of: asked.imageDigest)
        else {
            throw AgentError(
                .invalidState,
                code: "image_not_ready",
                "the root disk of image '\(asked.image)' is not there; pull it again"
            )
        }
        let (driver, _) = try await context.hypervisors.select(asked.hypervisor)
        let overlay = try await context.disks.createOverlay(for: id, size: asked.overlaySize)
        endPhase(.disks)
        let endpoint = instance.endpoint
        if let endpoint { try await attach(endpoint) }
        endPhase(.network)
        let session = Self.newSession()
        let guest = try GuestConfiguration(
            instance,
            image: configuration,
            network: context.network.network,
            session: session
        )
        let contents = try JSONEncoder().encode(guest)
        let configurationDisk = try await context.disks.writeConfigurationDisk(for: id, contents: Array(contents))
        let description = MachineDescription(
            instance: id,
            size: MachineSize(vcpus: asked.vcpus, memory: asked.memory),
            kernel: context.configuration.kernel,
            initrd: context.configuration.initrd,
            kernelArguments: [],
            disks: [
                .init(serial: GuestConfiguration.DiskSerial.root, path: root.path, readOnly: true),
                .init(serial: GuestConfiguration.DiskSerial.overlay, path: overlay, readOnly: false),
                .init(serial: GuestConfiguration.DiskSerial.configuration, path: configurationDisk, readOnly: true),
            ],
            card: endpoint.map { endpoint in
                .init(
                    tap: endpoint.attachment.tap,
                    mac: endpoint.attachment.mac,
                    mtu: context.network.network?.mtu ?? Network.defaultMTU
                )
            },
            runtimeDirectory: try context.runtime.create(for: id)
        )
        let machine = try await driver.start(description, session: session)
        endPhase(.machine)
        do {
            try await apply(.machineStarted(machine.record, description, phases: phases))
            // A start that was given up at its deadline may still come this far.
            guard instance.machine == machine.record else { throw CancellationError() }
        } catch {
            await machine.kill()
            throw error
        }
        watch(machine)
    }

    func attach(_ endpoint: NetworkEndpoint) async throws {
        try await connecting.withTurn {
            // A start that was given up attaches nothing after what it made was removed.
            try Task.checkCancellation()
            try await context.network.attach(endpoint)
        }
    }

    private static func newSession() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<2).map { _ in
            let digits = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    /// Removes what a start made that did not succeed.
    private func undoStart(_ failure: AgentError) async {
        if let run {
            await run.machine.kill()
            await run.watch.value
        }
        let gone = await removeMachine()
        await observe(.startFailed(failure.description), with: gone)
    }

    /// Makes sure that no machine of this instance's is left, nor its network device, nor its directory.
    ///
    /// - Returns: What the journal can forget.
    @discardableResult
    func removeMachine() async -> [StateChange] {
        // The driver removes its file.
        await recordMachineOutput(whole: true)
        let path = context.runtime.path(of: id)
        do {
            let name = instance.machine?.hypervisor ?? instance.hypervisor ?? instance.specification.hypervisor
            let (driver, _) = try await context.hypervisors.select(name)
            try await driver.reap(instance: id, runtimeDirectory: RuntimeDirectory(path: path))
        } catch {
            logger.error("leftover machine not removed", metadata: ["error": "\(error)"])
        }
        return await removeLeftovers()
    }

    /// Removes what surrounds a machine that is gone.
    ///
    /// - Returns: What the journal can forget.
    @discardableResult
    func removeLeftovers() async -> [StateChange] {
        var gone = [machineResource]
        do {
            if let device = try await detach() { gone.append(device) }
            isStillAttached = false
        } catch {
            isStillAttached = true
            logger.error("network not detached", metadata: ["error": "\(error)"])
        }
        await recordMachineOutput(whole: true)
        do {
            try context.runtime.remove(id)
        } catch {
            logger.error("runtime directory not removed", metadata: ["error": "\(error)"])
        }
        return gone.map(StateChange.forgetResource)
    }

    /// - Returns: The journal's entry, nil without a network.
    private func detach() async throws -> HostResource? {
        guard let endpoint = instance.endpoint else { return nil }
        // Behind an attach that is still under way although its start was given up; also for a cancelled caller.
        try await Task { try await connecting.withTurn { try await context.network.detach(endpoint) } }.value
        return endpoint.resource
    }

    /// Stores that nothing of the machine is left.
    func finishRun() async {
        let gone = await removeLeftovers()
        await observe(.cleanedUp, with: gone)
    }

    // MARK: Stop

    /// Brings the instance to Stopped: the program's stop signal, the power button where init isn't ours, the kill.
    func stop(_ request: StopInstanceRequest) async throws {
        if request.isForHostShutdown {
            // Standby is as good after the host's next start.
            guard run != nil, instance.desired != .deleted else { return }
            isHostGoing = true
            await observe(.killing(.hostShutdown, Self.hostGoing))
        } else {
            try await apply(.stopRequested)
            // Also of one that runs, if its memory on disk was still to be given up.
            let isAtRest = instance.state == .standby
            await giveUpStandby()
            if isAtRest { return }
        }
        guard let run, instance.state != .stopped else { return }
        // Who stands still does not see a signal.
        if instance.state == .paused { await goOn(run.machine) }
        if instance.state == .running, channel == nil {
            try await awaitChannel(within: min(Self.answerDeadline, request.signalDeadline))
        }
        if await signalProgram(nil), try await isStopped(within: request.signalDeadline) { return }
        if instance.state == .running, await pressPowerButton(run.machine),
            try await isStopped(within: request.powerButtonDeadline)
        {
            return
        }
        let waited = "the program did not end within \(request.signalDeadline) of its stop signal and was killed"
        await observe(
            request.isForHostShutdown
                ? .killing(.hostShutdown, "\(Self.hostGoing): \(waited)") : .killing(.killed, waited)
        )
        // The program first: the guest then writes its disks back and powers itself off.
        if await signalProgram(9), try await isStopped(within: Self.powerOffDeadline) { return }
        await run.machine.kill()
        guard try await isStopped(within: Self.killDeadline) else {
            throw AgentError(.timeout, "the VMM of instance '\(instance.name)' does not end although it was killed")
        }
    }

    private static let hostGoing = "the host was shut down"

    private func isStopped(within limit: Duration) async throws -> Bool {
        try await wait(within: limit) { $0.state == .stopped } != nil
    }

    private func signalProgram(_ number: Int?) async -> Bool {
        guard let channel else { return false }
        do {
            try await channel.signalProgram(number)
            return true
        } catch {
            logger.warning("program not signalled", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Only systemd listens to the button; our own init has been asked over its channel.
    private func pressPowerButton(_ machine: any VirtualMachine) async -> Bool {
        guard channel == nil else { return false }
        do {
            try await machine.pressPowerButton()
            return true
        } catch {
            logger.warning("power button not pressed", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Ends a VMM, and waits until nothing of it is left.
    ///
    /// - Throws: `timeout` if it does not end although it was killed.
    func kill(_ run: Run) async throws {
        await run.machine.kill()
        try await withDeadline(
            Self.killDeadline,
            clock: context.time.clock,
            "ending the VMM of instance '\(instance.name)'"
        ) { await run.watch.value }
    }

    // MARK: Delete

    /// Removes the instance and all that is its own.
    func delete() async throws {
        guard context.directory.get(id) != nil else { return }
        try await apply(.deleteRequested)
        restartTimer?.cancel()
        if let run {
            await observe(.killing(.killed, "the instance was deleted"))
            try await kill(run)
        } else {
            await removeMachine()
        }
        // The address is not free for another while the device may still carry it.
        if isStillAttached { _ = try await detach() }
        if let standby = instance.standby { try await context.snapshots.remove(standby.snapshot) }
        try await context.disks.remove(id)
        try await context.logs.remove(id)
        let resources = [machineResource, diskResource] + (instance.endpoint.map { [$0.resource] } ?? [])
        let event = EventDraft(
            time: context.time.now(),
            kind: .instanceDeleted,
            subject: id.rawValue,
            attributes: ["name": instance.name.rawValue]
        )
        try await context.store.commit(
            [.removeInstance(id)] + resources.map(StateChange.forgetResource) + [.appendEvent(event)]
        )
        context.network.release(id, instance.specification)
        context.directory.remove(id)
        logger.info("instance deleted")
    }
}
