public import SystemPackage

/// What the agent's configuration says about instances.
public struct InstancesConfiguration: Sendable {
    /// The parent of the machines' runtime directories; on a file system that a reboot of the host empties.
    public var runtimeDirectory: FilePath
    /// What every guest boots.
    public var kernel: FilePath
    public var initrd: FilePath
    /// The hypervisor for instances that name none; nil takes the first that works.
    public var hypervisor: HypervisorName?
    public var maximumVCPUs: Int
    public var maximumMemory: ByteSize
    public var maximumOverlaySize: ByteSize
    /// From the VMM's start to the guest's report that the program runs.
    public var bootTimeout: Duration
    /// vCPUs of all instances that run, together; nil is no limit.
    public var totalVCPUs: Int?
    /// Memory of all instances that run, together; nil is no limit.
    public var totalMemory: ByteSize?

    public init(
        runtimeDirectory: FilePath,
        kernel: FilePath,
        initrd: FilePath,
        hypervisor: HypervisorName?,
        maximumVCPUs: Int,
        maximumMemory: ByteSize,
        maximumOverlaySize: ByteSize,
        bootTimeout: Duration,
        totalVCPUs: Int? = nil,
        totalMemory: ByteSize? = nil
    ) {
        self.runtimeDirectory = runtimeDirectory
        self.kernel = kernel
        self.initrd = initrd
        self.hypervisor = hypervisor
        self.maximumVCPUs = maximumVCPUs
        self.maximumMemory = maximumMemory
        self.maximumOverlaySize = maximumOverlaySize
        self.bootTimeout = bootTimeout
        self.totalVCPUs = totalVCPUs
        self.totalMemory = totalMemory
    }
}
