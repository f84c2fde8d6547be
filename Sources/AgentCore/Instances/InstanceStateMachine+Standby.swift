import struct Foundation.Date

extension InstanceStateMachine {
    /// Memory that stands still, goes to disk, and comes back.
    mutating func applyStandby(_ transition: InstanceTransition, at time: Date) throws(AgentError) {
        switch transition {
        case .pauseRequested:
            try require([.running, .paused], "paused")
            instance.desired = .paused
        case .resumeRequested:
            try require([.running, .paused], "resumed")
            instance.desired = .running
        case .saved(let standby):
            try require([.running, .paused], "put on standby")
            instance.standby = standby
            instance.desired = .standby
            instance.stateError = nil
        case .broughtBack(let standby, let outputStart, let former):
            try require([.stopped], "brought back to a snapshot")
            instance.nextRestart = nil
            instance.stateError = nil
            instance.desired = .stopped
            guard let standby else { return }
            instance.standby = standby
            instance.state = .standby
            instance.desired = .standby
            // The log counts the output of each boot apart.
            instance.boots += 1
            instance.outputStart = outputStart
            instance.formerIdentity = former
            instance.exit = nil
            instance.stoppedAt = nil
        case .forked(let standby, let memory): fork(standby, memory, at: time)
        case .restoreRequested:
            try require([.standby], "restored")
            instance.desired = .running
            instance.stateError = nil
        case .restored(let record, let description):
            guard instance.state == .standby else { return }
            instance.description = description
            // Of a snapshot, it may be another one than it had since.
            instance.specification.size = description.currentSize
            instance.state = .paused
            instance.machine = record
            instance.hypervisor = record.hypervisor
        case .restoreFailed(let message):
            instance.stateError = message
            guard instance.state == .standby, instance.desired == .running else { return }
            instance.desired = .standby
        case .standbyForgotten: forgetStandby(at: time)
        case .standbyOutlived(let record):
            // Of one that is gone its end has decided, and kept the memory if it was still good.
            guard instance.machine == record else { return }
            instance.standby = nil
        default: break
        }
    }

    /// A new instance has what it begins with.
    ///
    /// It counts as booted once: what happens to it from now on is not its
    /// creation any more.
    private mutating func fork(_ standby: InstanceStandby?, _ memory: SavedMemory?, at time: Date) {
        guard instance.state == .created, instance.boots == 0 else { return }
        instance.boots = 1
        guard instance.desired != .deleted else { return }
        guard let standby, let memory else {
            instance.state = .stopped
            instance.desired = .stopped
            instance.stoppedAt = time
            return
        }
        instance.state = .standby
        instance.desired = .standby
        instance.standby = standby
        instance.startedAt = time
        instance.hypervisor = memory.hypervisor
        instance.outputStart = memory.outputPosition
        instance.formerIdentity = memory.former
        instance.guestFeatures = memory.guestFeatures
    }

    /// In Standby it is the end of the run, and of one whose VMM is gone, and would be in Standby, it is the reason.
    private mutating func forgetStandby(at time: Date) {
        guard instance.standby != nil else { return }
        instance.standby = nil
        guard instance.state == .standby || instance.state == .shutdown else { return }
        instance.exit =
            instance.exit
            ?? InstanceExit(reason: .stopped, message: "it was stopped in standby; its memory was given up")
        guard instance.state == .standby else { return }
        instance.state = .stopped
        instance.stoppedAt = time
        instance.formerIdentity = nil
        if instance.desired != .deleted { instance.desired = .stopped }
    }

    private func require(_ states: [InstanceState], _ what: String) throws(AgentError) {
        guard instance.desired != .deleted else { throw refused(what, "it is being deleted") }
        guard states.contains(instance.state) else {
            throw instance.refusal(what, states.map(\.rawValue).joined(separator: " or "))
        }
    }
}

extension Instance {
    /// Why its state does not allow something: `what`, as in "cannot be restored", needs one of `states`.
    func refusal(_ what: String, _ states: String) -> AgentError {
        AgentError(
            .invalidState,
            "instance '\(name)' cannot be \(what): it is \(state.rawValue); only a \(states) one can be"
        )
    }
}
