public import struct Foundation.Date

/// What a saved machine needs to be taken up: compared before anything is started.
public struct SnapshotManifest: Sendable, Hashable, Codable {
    /// A file that the hypervisor wrote.
    public struct File: Sendable, Hashable, Codable {
        public var name: String
        public var size: Int
        /// CRC-64 of its contents (ECMA-182 in the reflected form of xz), in hexadecimal: it tells damage, not malice.
        public var checksum: String

        public init(name: String, size: Int, checksum: String) {
            self.name = name
            self.size = size
            self.checksum = checksum
        }
    }

    /// The form that this build writes and reads.
    public static let currentFormat = 1

    public var format: Int
    public var instance: InstanceID
    public var createdAt: Date
    public var hypervisor: HypervisorName
    public var version: String
    public var accelerator: Accelerator
    /// The host's processor in its own words, where the guest sees it as it is.
    public var processor: String?
    /// The session secret of the guest in it.
    public var session: String
    public var machine: MachineDescription
    /// The writable disk that the memory goes with.
    public var overlay: DiskFingerprint
    /// Written by the store.
    public var files: [File]

    public init(
        instance: InstanceID,
        createdAt: Date,
        hypervisor: HypervisorName,
        version: String,
        accelerator: Accelerator,
        processor: String?,
        session: String,
        machine: MachineDescription,
        overlay: DiskFingerprint,
        files: [File] = []
    ) {
        self.format = Self.currentFormat
        self.instance = instance
        self.createdAt = createdAt
        self.hypervisor = hypervisor
        self.version = version
        self.accelerator = accelerator
        self.processor = processor
        self.session = session
        self.machine = machine
        self.overlay = overlay
        self.files = files
    }

    /// Whether a hypervisor as it is here can take it up.
    ///
    /// - Throws: `versionMismatch` `snapshot_version_mismatch` with the difference.
    func check(_ information: HypervisorInformation, processor here: String?) throws(AgentError) {
        let difference: String? =
            if version != information.version {
                "it was saved by \(hypervisor) \(version), and this host has \(information.version)"
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
            "the saved memory of instance \(instance) cannot be taken up here: \(difference)"
        )
    }
}
