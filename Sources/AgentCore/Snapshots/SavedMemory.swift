/// A machine whose memory is on disk.
public struct SavedMemory: Sendable, Hashable, Codable {
    public var hypervisor: HypervisorName
    public var version: String
    public var accelerator: Accelerator
    /// The host's processor in its own words, where the guest sees it as it is.
    public var processor: String?
    /// The session secret of the guest in it.
    public var session: String
    public var machine: MachineDescription
    /// Up to where the guest's output is in the log, as the guest counts it.
    public var outputPosition: UInt64
    /// Who the guest in it takes itself for, where that is not the instance that it is of.
    public var former: FormerIdentity?
    /// What the guest in it can; nil if it never said so.
    public var guestFeatures: [String]?

    public init(
        hypervisor: HypervisorName,
        version: String,
        accelerator: Accelerator,
        processor: String?,
        session: String,
        machine: MachineDescription,
        outputPosition: UInt64,
        former: FormerIdentity? = nil,
        guestFeatures: [String]? = nil
    ) {
        self.hypervisor = hypervisor
        self.version = version
        self.accelerator = accelerator
        self.processor = processor
        self.session = session
        self.machine = machine
        self.outputPosition = outputPosition
        self.former = former
        self.guestFeatures = guestFeatures
    }

    /// Whether a hypervisor as it is here can take it up.
    ///
    /// - Throws: `versionMismatch` `snapshot_version_mismatch` with the difference.
    func check(_ information: HypervisorInformation, processor here: String?) throws(AgentError) {
        let difference: String? =
            if version != information.version, !information.otherVersions.contains(version) {
                "it was saved by \(hypervisor) \(version), and this host has "
                    + ([information.version] + information.otherVersions).joined(separator: ", ")
            } else if accelerator != information.accelerator {
                "it ran under \(accelerator.rawValue), and this host offers \(information.accelerator.rawValue)"
            } else if accelerator == .kvm, let processor, let here, processor != here {
                "it was saved on a '\(processor)', and this host has a '\(here)'"
            } else {
                nil
            }
        guard let difference else { return }
        throw AgentError(
            .versionMismatch,
            code: "snapshot_version_mismatch",
            "the saved memory of instance \(machine.instance) cannot be taken up here: \(difference)"
        )
    }
}
