import GuestProtocol
import Logging

extension InstanceController {
    /// How long a guest may take to power off once its program's exit is stored.
    private static let powerOffDeadline = Duration.seconds(15)
    /// Between attempts to reach a guest whose channel was lost.
    private static let reconnectDelays: [Duration] = [.milliseconds(50), .milliseconds(200), .seconds(1)]

    /// Between attempts of a machine whose disk cannot grow.
    private static let shortestSpacePause = Duration.seconds(1)
    private static let longestSpacePause = Duration.seconds(8)
    /// Between two looks at what a VMM says; what comes meanwhile is taken over at the second.
    private static let machineOutputPause = Duration.milliseconds(200)

    /// Follows a machine from now until it is gone, in a task of its own.
    func watch(_ machine: any VirtualMachine) {
        run = Run(machine: machine, watch: Task { await self.follow(machine) })
    }

    private func follow(_ machine: any VirtualMachine) async {
        let boot = instance.boots
        shortages = 0
        identityFailure = nil
        let exited = await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.recordConsole(of: machine) }
            group.addTask { await self.followMachineOutput() }
            group.addTask { await self.converse(with: machine, boot: boot) }
            group.addTask { await self.enforceBootTimeout(of: machine) }
            defer { group.cancelAll() }
            for await event in machine.events {
                if await self.handle(event, of: machine) { return true }
                if event == .outOfSpace, self.noteShortage() {
                    group.addTask { await self.resumeWhenThereIsRoom(machine) }
                }
            }
            return false
        }
        channel = nil
        // Without an exit it is this task that was cancelled: the agent stops, the machine stays.
        if exited {
            await finishRun()
            run = nil
        }
    }

    /// - Returns: Whether it was the machine's exit.
    private func handle(_ event: MachineEvent, of machine: any VirtualMachine) async -> Bool {
        switch event {
        case .paused: await observe(.paused)
        case .resumed: await observe(.resumed)
        case .outOfSpace: await observe(.paused)
        case .reset, .poweredOff: logger.debug("machine event", metadata: ["event": "\(event)"])
        case .panicked:
            await observe(.killing(.machineDied, "the guest's kernel panicked; its last words are in the console log"))
            await machine.kill()
        case .exited(let exit):
            await settleStandby()
            await observe(.machineExited(exit))
            return true
        }
        return false
    }

    /// - Returns: Whether it is the first one, so that somebody has to see to it.
    private func noteShortage() -> Bool {
        shortages += 1
        return shortages == 1
    }

    /// Lets a machine whose disk could not grow try again, until it goes on.
    ///
    /// Only a write tells whether there is room enough for it, so the machine is asked to make it again.
    private func resumeWhenThereIsRoom(_ machine: any VirtualMachine) async {
        logger.error("machine waits for room on the host's disk")
        await observe(.problem("the host's disk is full: the machine waits until there is room for its writes"))
        var pause = Self.shortestSpacePause
        do {
            while true {
                try await context.time.clock.sleep(for: pause)
                pause = min(pause * 2, Self.longestSpacePause)
                let seen = shortages
                do {
                    try await machine.resume()
                } catch {
                    logger.warning("machine not resumed", metadata: ["error": "\(error)"])
                    continue
                }
                try await context.time.clock.sleep(for: Self.shortestSpacePause)
                if shortages == seen { break }
            }
        } catch {
            // Cancelled: the machine is gone, or the agent stops, and the next one sees to it.
            return
        }
        shortages = 0
        await observe(.resumed)
        await observe(.problem(nil))
        logger.info("machine goes on: there is room on the host's disk")
        await noteStandstill(.paused)
    }

    private func recordConsole(of machine: any VirtualMachine) async {
        for await bytes in machine.console {
            do {
                try await context.logs.append(bytes, at: context.time.now(), to: id, source: .console)
            } catch {
                logger.warning("console not recorded", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Takes over what the VMM itself says, as it says it, until the task is cancelled.
    private func followMachineOutput() async {
        let writes = context.changes.writes(to: RuntimeDirectories.machineOutputName, in: context.runtime.path(of: id))
        await recordMachineOutput(whole: false)
        for await _ in writes {
            await recordMachineOutput(whole: false)
            do {
                // A guest can make its VMM complain without end.
                try await context.time.clock.sleep(for: Self.machineOutputPause)
            } catch {
                return
            }
        }
    }

    /// Takes over what there is of it.
    ///
    /// The position is noted after the log has it: an agent that is killed between the two writes a stretch twice rather
    /// than never.
    func recordMachineOutput(whole: Bool) async {
        do {
            while let (read, position) = try context.runtime.machineOutput(of: id, whole: whole) {
                var bytes = read
                // Nothing follows any more, and the next boot begins a line of its own.
                if whole, bytes.count < RuntimeDirectories.machineOutputPiece, bytes.last != UInt8(ascii: "\n") {
                    bytes.append(UInt8(ascii: "\n"))
                }
                try await context.logs.append(bytes, at: context.time.now(), to: id, source: .vmm)
                try context.runtime.noteMachineOutput(of: id, upTo: position)
            }
        } catch {
            logger.warning("the VMM's output is not recorded", metadata: ["error": "\(error)"])
        }
    }

    private func enforceBootTimeout(of machine: any VirtualMachine) async {
        guard instance.state == .initializing else { return }
        let limit = context.configuration.bootTimeout
        do {
            guard try await wait(within: limit, until: { $0.state != .initializing }) == nil,
                instance.state == .initializing
            else { return }
            await observe(
                .killing(
                    .startFailed,
                    "the guest did not report its program started within \(limit); see the console log"
                )
            )
            await machine.kill()
        } catch {
            // Cancelled: the machine is gone, or the agent stops.
        }
    }

    /// Talks with the guest until the machine is gone, over as many connections as it takes.
    private func converse(with machine: any VirtualMachine, boot: Int) async {
        var failures = 0
        let began = ContinuousClock.now
        while !Task.isCancelled {
            do {
                let channel = try await machine.openGuestChannel()
                await note(channel.hello)
                try await identify(channel, of: machine)
                await wake(channel)
                self.channel = channel
                failures = 0
                await observe(.guestAnswered(after: ContinuousClock.now - began))
                settleVolumeChangeSoon()
                let answered = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.recordOutput(of: channel, boot: boot) }
                    try await self.followEvents(of: channel, machine: machine, answered: answered, output: &group)
                }
            } catch {
                if Task.isCancelled { return }
                logger.debug("guest channel ended", metadata: ["error": "\(error)"])
            }
            self.channel = nil
            do {
                try await context.time.clock.sleep(
                    for: Self.reconnectDelays[min(failures, Self.reconnectDelays.count - 1)]
                )
            } catch {
                return
            }
            failures += 1
        }
    }

    private func followEvents(
        of channel: any GuestChannel,
        machine: any VirtualMachine,
        answered: ContinuousClock.Instant,
        output: inout ThrowingTaskGroup<Void, any Error>
    ) async throws {
        // From the first: there are few, and those that were handled before change nothing.
        for try await event in channel.events(after: 0) {
            switch event.kind {
            case .started:
                await observe(.programStarted(after: ContinuousClock.now - answered))
            case .exited(let exit):
                // All output first, so that whoever waits for the exit finds the log complete.
                try await output.waitForAll()
                try await apply(.programExited(exit))
                try await channel.acknowledgeExit()
                try await context.time.clock.sleep(for: Self.powerOffDeadline)
                logger.warning("the guest did not power off after its program's end, and is killed")
                await machine.kill()
            }
        }
    }

    /// Writes the program's output to its log, from where the log ends, and tells the guest what is safe.
    private func recordOutput(of channel: any GuestChannel, boot: Int) async throws {
        // The log counts from the beginning of what is new in this boot.
        let start = instance.outputStart ?? 0
        var position = start + (try await context.logs.outputPosition(of: id, boot: boot))
        for try await output in channel.output(from: position) {
            position = output.offset + UInt64(output.bytes.count)
            var logged = output
            logged.offset -= min(start, output.offset)
            try await append(logged, boot: boot)
            try await channel.acknowledgeOutput(upTo: position)
        }
    }

    /// Waits while the host's disk is full: the guest holds its output back, then the program waits.
    private func append(_ output: GuestOutput, boot: Int) async throws {
        var reported = false
        while true {
            do {
                try await context.logs.append(output, at: context.time.now(), to: id, boot: boot)
                if reported { await observe(.problem(nil)) }
                return
            } catch let error as AgentError where error.kind == .storageFull {
                if !reported {
                    logger.error("program output held back", metadata: ["error": "\(error)"])
                    await observe(.problem("the host's disk is full: the program's output waits in the guest"))
                }
                reported = true
                try await context.time.clock.sleep(for: .seconds(1))
            }
        }
    }

    /// Runs a command in the guest.
    func exec(_ request: ExecRequest, patience: Duration) async throws -> any GuestProcess {
        try await runningChannel(patience: patience).exec(request)
    }

    /// Opens a way into the program's stdin and terminal.
    func attach(patience: Duration) async throws -> any GuestInput {
        try instance.checkAttachable()
        return try await runningChannel(patience: patience).attach()
    }

    /// Sends a signal to the program.
    func signal(_ number: Int) async throws {
        try await runningChannel(patience: .zero).signalProgram(number)
    }

    /// The conversation with the guest of an instance that runs, or does soon.
    func runningChannel(patience: Duration) async throws -> any GuestChannel {
        if instance.state == .initializing || instance.state == .created {
            _ = try await wait(within: patience) { $0.state != .initializing && $0.state != .created }
        }
        if instance.state == .running, channel == nil { try await awaitChannel(within: patience) }
        guard instance.state == .running else {
            throw AgentError(
                .invalidState,
                "instance '\(instance.name)' is \(instance.state.rawValue); that needs a Running one"
            )
        }
        guard let channel else {
            throw AgentError(
                .unavailable,
                "the guest of instance '\(instance.name)' does not answer at present; try again"
            )
        }
        return channel
    }

    /// Waits for the next conversation with the guest: the agent was started anew, or its connection was lost.
    ///
    /// Returns at the deadline, too, and when the instance does not run any more.
    func awaitChannel(within patience: Duration) async throws {
        let opening = channelOpening
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await opening.wait() }
            group.addTask { _ = try await self.wait(within: patience) { $0.state != .running } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
