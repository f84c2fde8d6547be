public import AgentCore
public import SystemPackage

/// How Cloud Hypervisor is found and run.
public struct CloudHypervisorConfiguration: Sendable, Hashable {
    /// The programs, the one for new machines first; empty: `cloud-hypervisor` from PATH.
    ///
    /// Several of different versions take up the machines that each has saved.
    public var executables: [FilePath]
    public var accelerator: AcceleratorChoice
    /// What machines write to and read from that nobody can name when they start, on hosts with Landlock: snapshots, and
    /// disks that are plugged in.
    public var writableDirectories: [FilePath]

    public init(
        executables: [FilePath] = [],
        accelerator: AcceleratorChoice = .auto,
        writableDirectories: [FilePath] = []
    ) {
        self.executables = executables
        self.accelerator = accelerator
        self.writableDirectories = writableDirectories
    }
}
