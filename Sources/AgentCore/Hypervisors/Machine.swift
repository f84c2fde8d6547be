public import SystemPackage

/// The name of a hypervisor, as existing clients write it.
public struct HypervisorName: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let cloudHypervisor = HypervisorName(rawValue: "cloud-hypervisor")
    public static let qemu = HypervisorName(rawValue: "qemu")
}

/// What runs the guest's instructions.
public enum Accelerator: String, Sendable, Codable, CaseIterable {
    /// The processor's own virtualisation, through /dev/kvm.
    case kvm
    /// QEMU's software emulation: correct, and about ten times slower.
    case tcg
}

/// What a hypervisor can do here; checked before a call, never found out by it.
public struct HypervisorCapabilities: Sendable, Hashable, Codable {
    public var pause: Bool
    public var snapshot: Bool
    public var hotplug: Bool

    public init(pause: Bool, snapshot: Bool, hotplug: Bool) {
        self.pause = pause
        self.snapshot = snapshot
        self.hotplug = hotplug
    }
}

/// What a driver found on this host.
public struct HypervisorInformation: Sendable, Hashable, Codable {
    public var name: HypervisorName
    public var version: String
    public var executable: FilePath
    public var accelerator: Accelerator
    /// Why the accelerator isn't KVM, for people; nil where it is.
    public var acceleratorReason: String?
    public var capabilities: HypervisorCapabilities

    public init(
        name: HypervisorName,
        version: String,
        executable: FilePath,
        accelerator: Accelerator,
        acceleratorReason: String?,
        capabilities: HypervisorCapabilities
    ) {
        self.name = name
        self.version = version
        self.executable = executable
        self.accelerator = accelerator
        self.acceleratorReason = acceleratorReason
        self.capabilities = capabilities
    }
}

/// A machine, described completely: a driver adds nothing that could differ from one start to the next.
public struct MachineDescription: Sendable, Hashable, Codable {
    /// A raw disk image, found by the guest through its serial.
    public struct Disk: Sendable, Hashable, Codable {
        /// At most 20 bytes (the virtio block device's limit, virtio 1.2, 5.2.6.1).
        public var serial: String
        public var path: FilePath
        public var readOnly: Bool

        public init(serial: String, path: FilePath, readOnly: Bool) {
            self.serial = serial
            self.path = path
            self.readOnly = readOnly
        }
    }

    /// A network card.
    public struct Card: Sendable, Hashable, Codable {
        /// The TAP device on the host, which exists.
        public var tap: String
        public var mac: MACAddress
        /// In bytes, as the guest is told.
        public var mtu: Int

        public init(tap: String, mac: MACAddress, mtu: Int) {
            self.tap = tap
            self.mac = mac
            self.mtu = mtu
        }
    }

    public var instance: InstanceID
    public var vcpus: Int
    public var memory: ByteSize
    /// An ELF image with a PVH entry, or a bzImage.
    public var kernel: FilePath
    public var initrd: FilePath
    /// Words of the kernel's command line beyond those that the driver needs (console, panic).
    public var kernelArguments: [String]
    public var disks: [Disk]
    public var card: Card?
    /// Exists, is empty, and only the agent and the VMM may enter it: sockets go here.
    ///
    /// Short enough that a socket's name fits in 108 bytes (unix(7)).
    public var runtimeDirectory: FilePath

    public init(
        instance: InstanceID,
        vcpus: Int,
        memory: ByteSize,
        kernel: FilePath,
        initrd: FilePath,
        kernelArguments: [String],
        disks: [Disk],
        card: Card?,
        runtimeDirectory: FilePath
    ) {
        self.instance = instance
        self.vcpus = vcpus
        self.memory = memory
        self.kernel = kernel
        self.initrd = initrd
        self.kernelArguments = kernelArguments
        self.disks = disks
        self.card = card
        self.runtimeDirectory = runtimeDirectory
    }
}

/// What is stored of a running machine, enough to find it again after a restart of the agent.
public struct MachineRecord: Sendable, Hashable, Codable {
    public var hypervisor: HypervisorName
    public var version: String
    public var accelerator: Accelerator
    public var process: ProcessIdentity
    public var runtimeDirectory: FilePath
    /// The guest's session secret, see `GuestConfiguration.session`.
    public var session: String

    public init(
        hypervisor: HypervisorName,
        version: String,
        accelerator: Accelerator,
        process: ProcessIdentity,
        runtimeDirectory: FilePath,
        session: String
    ) {
        self.hypervisor = hypervisor
        self.version = version
        self.accelerator = accelerator
        self.process = process
        self.runtimeDirectory = runtimeDirectory
        self.session = session
    }
}

/// What a machine reports by itself.
public enum MachineEvent: Sendable, Hashable {
    case paused
    case resumed
    /// A disk of the machine cannot grow, since the host's disk is full: the vCPUs stand still, and the guest knows of
    /// nothing, until ``VirtualMachine/resume()``, which tries the write again.
    ///
    /// Reported once for each time that it comes to that; no `paused` and `resumed` go with it.
    case outOfSpace
    /// The guest asked for a reset; the machine starts again in the same process, or, where its driver says so, exits.
    case reset
    /// The guest's kernel panicked.
    case panicked
    /// The guest powered itself off.
    case poweredOff
    /// The VMM's process is gone; always the last event.
    case exited(ProcessExit)
}

/// What a machine has used since its VMM was started.
public struct MachineCounters: Sendable, Hashable {
    public var cpuTime: Duration
    public var residentMemory: ByteSize
    public var virtualMemory: ByteSize

    public init(cpuTime: Duration, residentMemory: ByteSize, virtualMemory: ByteSize) {
        self.cpuTime = cpuTime
        self.residentMemory = residentMemory
        self.virtualMemory = virtualMemory
    }
}
