public import GuestProtocol

public import struct Foundation.Date

/// What happens to an instance, asked for or observed.
public enum InstanceTransition: Sendable, Hashable {
    /// A create or start was accepted.
    case startRequested(StartInstanceRequest)
    /// It has another place on the network than before.
    case placed(NetworkAttachment)
    /// Its VMM runs.
    case machineStarted(MachineRecord, MachineDescription, phases: [StartPhase: Duration])
    /// The start did not get as far as a running VMM, and what it made is gone again.
    case startFailed(String)
    /// The guest answers on its channel, this long after the VMM ran.
    case guestAnswered(after: Duration)
    /// The guest has said what it can.
    case guestKnown(features: [String])
    /// The guest was told who it is.
    case guestIdentified
    /// The guest says that the program started.
    case programStarted(after: Duration)
    /// The guest says that the program ended, or could not be started.
    case programExited(GuestExit)
    /// A stop was accepted.
    case stopRequested
    /// The agent is about to end the VMM itself.
    case killing(InstanceExit.Reason, String?)
    case paused
    case resumed
    /// It is to stand still until somebody asks for the contrary.
    case pauseRequested
    /// It is to run on.
    case resumeRequested
    /// Its memory is on disk; its VMM has not run since, and is about to be ended.
    case saved(InstanceStandby)
    /// What it was in a snapshot has taken the place of its memory and its disk.
    case broughtBack(InstanceStandby?, outputStart: UInt64?, former: FormerIdentity? = nil)
    /// Its disk, and its memory if there is one, are copies of another's.
    case forked(InstanceStandby?, SavedMemory?)
    /// A restore was accepted.
    case restoreRequested
    /// A VMM has taken up its memory; it has not run yet.
    case restored(MachineRecord, MachineDescription)
    /// The restore did not get as far as a VMM, and what it made is gone again.
    case restoreFailed(String)
    /// Its saved memory was given up, or does not go with its disks any more.
    case standbyForgotten
    /// This machine, which took its saved memory up, runs on from it: the memory is history.
    case standbyOutlived(MachineRecord)
    /// It is to have another size.
    case resizeRequested(MachineSize)
    /// Its machine has this size, whatever was asked for.
    case resized(MachineSize)
    /// Its restart policy is another one.
    case policyChanged(RestartPolicy?)
    /// A volume is about to be plugged into its machine, or out of it.
    case volumeChangeBegan(InstanceVolumeChange)
    /// That was done.
    case volumeChangeDone
    /// That was not done, and all is as before.
    case volumeChangeGivenUp
    /// It has other volumes from its next start on.
    case volumesChanged([VolumeMount])
    /// Its policy starts it again.
    case restartRequested
    /// The VMM's process is gone.
    case machineExited(ProcessExit)
    /// Nothing of the last run is left.
    case cleanedUp
    /// The host was started anew: every VMM is gone.
    case hostRebooted
    /// A delete was accepted.
    case deleteRequested
    /// Something went wrong that does not change the state, or (nil) is right again.
    case problem(String?)
}

/// The life of an instance as a pure value: transitions in, the changed instance out, no I/O and no clock.
public struct InstanceStateMachine: Sendable, Hashable {
    /// The instance as it is now.
    public internal(set) var instance: Instance
    /// Why the agent ended the VMM, while its exit is awaited.
    private var killing: InstanceExit?

    public init(_ instance: Instance) { self.instance = instance }

    /// Applies a transition.
    ///
    /// Observations are accepted in every state, since the world does not ask: those that come too late or twice change
    /// nothing. Requests are refused where they make no sense.
    ///
    /// - Throws: `invalidState` for a request that this state does not allow; nothing has changed then.
    public mutating func apply(_ transition: InstanceTransition, at time: Date) throws(AgentError) {
        switch transition {
        case .startRequested(let request): try requestStart(request)
        case .stopRequested: try requestStop()
        case .deleteRequested: instance.desired = .deleted
        case .placed(let attachment): instance.attachment = attachment
        case .machineStarted(let record, let description, let phases):
            guard instance.state == .created else { return }
            instance.description = description
            instance.state = .initializing
            instance.machine = record
            instance.hypervisor = record.hypervisor
            instance.phases = phases
            instance.startedAt = time
        case .startFailed(let message):
            guard instance.state == .created else { return }
            instance.stateError = message
            instance.exit = InstanceExit(reason: .startFailed, message: message)
            end(at: time)
        case .guestAnswered(let duration):
            guard instance.state == .initializing else { return }
            instance.phases[.boot] = duration
        case .guestKnown(let features): instance.guestFeatures = features
        case .guestIdentified: instance.formerIdentity = nil
        case .programStarted(let duration):
            guard instance.state == .initializing else { return }
            instance.state = .running
            instance.phases[.program] = duration
        case .programExited(let exit): programExited(exit)
        case .killing(let reason, let message):
            guard instance.machine != nil else { return }
            killing = InstanceExit(reason: reason, message: message)
        case .paused:
            guard instance.state == .running else { return }
            instance.state = .paused
        case .resumed:
            guard instance.state == .paused else { return }
            instance.state = .running
        case .pauseRequested, .resumeRequested, .saved, .broughtBack, .forked, .restoreRequested, .restored,
            .restoreFailed, .standbyForgotten, .standbyOutlived:
            try applyStandby(transition, at: time)
        case .resizeRequested(let size): try requestResize(to: size)
        case .resized(let size): resized(to: size)
        case .policyChanged(let policy):
            instance.specification.restartPolicy = policy
            if policy == nil { forgetRestart() }
        case .volumeChangeBegan, .volumeChangeDone, .volumeChangeGivenUp, .volumesChanged: try applyVolumes(transition)
        case .restartRequested: try requestRestart()
        case .machineExited(let exit): machineExited(exit)
        case .cleanedUp:
            guard instance.state == .shutdown else { return }
            end(at: time)
        case .hostRebooted:
            guard instance.machine != nil || instance.state == .created else { return }
            instance.description = nil
            instance.volumeChange = nil
            guard instance.standby == nil else {
                instance.machine = nil
                return end(at: time)
            }
            instance.exit = instance.exit ?? InstanceExit(reason: .hostShutdown, message: "the host was restarted")
            instance.machine = nil
            end(at: time)
        case .problem(let message): instance.stateError = message
        }
    }

    /// Counts a change that is about to be stored.
    mutating func countRevision() { instance.revision += 1 }

    private mutating func requestStart(_ request: StartInstanceRequest) throws(AgentError) {
        guard instance.desired != .deleted else { throw refused("started", "it is being deleted") }
        guard instance.state == .stopped || (instance.state == .created && instance.boots == 0) else {
            throw refused("started", "it is \(instance.state.rawValue); only a Stopped instance can be")
        }
        instance.restarts = 0
        instance.specification.entrypoint = request.entrypoint ?? instance.specification.entrypoint
        instance.specification.command = request.command ?? instance.specification.command
        begin()
    }

    private mutating func requestRestart() throws(AgentError) {
        guard instance.state == .stopped, instance.desired == .running, instance.nextRestart != nil else {
            throw refused("started again", "that was called off")
        }
        let restarts = instance.restarts
        begin()
        instance.restarts = restarts + 1
    }

    private mutating func begin() {
        instance.state = .created
        instance.outputStart = nil
        instance.formerIdentity = nil
        instance.guestFeatures = nil
        instance.desired = .running
        instance.boots += 1
        instance.exit = nil
        instance.stateError = nil
        instance.nextRestart = nil
        instance.startedAt = nil
        instance.stoppedAt = nil
        instance.phases = [:]
        killing = nil
    }

    private mutating func requestStop() throws(AgentError) {
        guard instance.desired != .deleted else { throw refused("stopped", "it is being deleted") }
        switch instance.state {
        case .created, .initializing, .running, .paused, .shutdown, .stopped, .standby: instance.desired = .stopped
        case .unknown: throw refused("stopped", "it is \(instance.state.rawValue)")
        }
        forgetRestart()
    }

    private mutating func programExited(_ exit: GuestExit) {
        guard instance.state == .initializing || instance.state == .running || instance.state == .paused else { return }
        let reason = reason(of: exit)
        instance.exit = InstanceExit(
            reason: reason,
            code: exit.code,
            signal: exit.signal,
            message: exit.message ?? killing?.message
        )
        if reason == .startFailed { instance.stateError = exit.message }
        instance.state = .shutdown
    }

    private func reason(of exit: GuestExit) -> InstanceExit.Reason {
        if let killing { return killing.reason }
        if instance.state == .initializing { return .startFailed }
        if instance.desired == .stopped || instance.desired == .deleted { return .stopped }
        return exit.signal == nil ? .exited : .signalled
    }

    private mutating func machineExited(_ exit: ProcessExit) {
        guard instance.machine != nil else { return }
        instance.machine = nil
        instance.description = nil
        instance.volumeChange = nil
        instance.state = .shutdown
        guard instance.standby == nil else {
            killing = nil
            return
        }
        if instance.exit == nil {
            instance.exit =
                killing
                ?? InstanceExit(
                    reason: exit == .outOfMemory ? .outOfMemory : .machineDied,
                    message: "the VMM ended by itself (\(exit.words))"
                )
        }
        if let reason = instance.exit?.reason, [.machineDied, .outOfMemory, .startFailed].contains(reason) {
            instance.stateError = instance.exit?.message
        }
        killing = nil
    }

    /// Nothing of a run is left.
    private mutating func end(at time: Date) {
        instance.resizing = nil
        guard instance.standby == nil else {
            instance.state = .standby
            if instance.desired != .deleted { instance.desired = .standby }
            return
        }
        instance.state = .stopped
        instance.stoppedAt = time
        instance.formerIdentity = nil
        guard instance.desired != .deleted else { return }
        if instance.desired == .running, let policy = instance.specification.restartPolicy {
            if let started = instance.startedAt, time.timeIntervalSince(started) >= policy.stableAfter / .seconds(1) {
                instance.restarts = 0
            }
            // The first start is its caller's: nothing is left of an instance that was never up.
            if instance.boots > 1 || instance.startedAt != nil,
                let pause = policy.pause(after: instance.exit, restarts: instance.restarts)
            {
                instance.nextRestart = time.addingTimeInterval(pause / .seconds(1))
                return
            }
        }
        instance.desired = .stopped
    }

    private mutating func forgetRestart() {
        instance.nextRestart = nil
        if instance.state == .stopped, instance.desired == .running { instance.desired = .stopped }
    }

    func refused(_ what: String, _ why: String) -> AgentError {
        AgentError(.invalidState, "instance '\(instance.name)' cannot be \(what): \(why)")
    }
}

extension ProcessExit {
    /// For messages: "exit code 1", "signal 9".
    public var words: String {
        switch self {
        case .code(let code): "exit code \(code)"
        case .signal(let number): "signal \(number)"
        case .outOfMemory: "the host's kernel ended it, since it needed more memory than it may have"
        case .unknown: "its exit status is not known"
        }
    }
}
