extension InstanceStateMachine {
    /// Volumes that come and go.
    mutating func applyVolumes(_ transition: InstanceTransition) throws(AgentError) {
        switch transition {
        case .volumeChangeBegan(let change):
            guard instance.desired != .deleted, instance.state == .running, instance.volumeChange == nil else {
                throw refused("given or rid of a volume", "it is \(instance.state.rawValue)")
            }
            instance.volumeChange = change
        case .volumeChangeDone:
            guard let change = instance.volumeChange else { return }
            instance.volumeChange = nil
            instance.stateError = nil
            switch change.kind {
            case .attaching:
                instance.specification.volumes.append(change.mount)
                instance.description?.disks.append(change.disk)
            case .detaching:
                instance.specification.volumes.removeAll { $0.volume == change.mount.volume }
                instance.description?.disks.removeAll { $0.serial == change.disk.serial }
            }
        case .volumeChangeGivenUp:
            guard instance.volumeChange != nil else { return }
            instance.volumeChange = nil
            instance.stateError = nil
        case .volumesChanged(let volumes):
            guard instance.desired != .deleted, instance.state == .stopped else {
                throw refused("given other volumes", "it is \(instance.state.rawValue)")
            }
            instance.specification.volumes = volumes
        default: break
        }
    }
}
