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
    /// Disks and cards can be added to a machine that runs, and be taken from it.
    public var hotplug: Bool
    /// A machine that runs can be given more or fewer vCPUs and memory.
    public var resize: Bool
    /// A restore reads memory when the guest touches it, so that its time does not depend on how much there is.
    public var lazyRestore: Bool

    public init(pause: Bool, snapshot: Bool, hotplug: Bool, resize: Bool, lazyRestore: Bool) {
        self.pause = pause
        self.snapshot = snapshot
        self.hotplug = hotplug
        self.resize = resize
        self.lazyRestore = lazyRestore
    }
}

/// What a driver found on this host.
public struct HypervisorInformation: Sendable, Hashable, Codable {
    public var name: HypervisorName
    /// Of what new machines run in.
    public var version: String
    /// What else there is, which takes up the machines that those versions have saved.
    public var otherVersions: [String] = []
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

/// How large a machine is.
public struct MachineSize: Sendable, Hashable, Codable {
    public var vcpus: Int
    public var memory: ByteSize

    public init(vcpus: Int, memory: ByteSize) {
        self.vcpus = vcpus
        self.memory = memory
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
        /// Where it was plugged in while the machine ran, counted from 0; nil for a disk that was there at the start.
        ///
        /// A machine that is taken up from a snapshot has it in the same place.
        public var slot: Int?
        /// Bytes a second, of reads and of writes alike; nil is no limit.
        public var rateLimit: ByteSize?

        public init(serial: String, path: FilePath, readOnly: Bool, slot: Int? = nil, rateLimit: ByteSize? = nil) {
            self.serial = serial
            self.path = path
            self.readOnly = readOnly
            self.slot = slot
            self.rateLimit = rateLimit
        }
    }

    /// A network card.
    public struct Card: Sendable, Hashable, Codable {
        /// The TAP device on the host, which exists.
        public var tap: String
        public var mac: MACAddress
        /// In bytes, as the guest is told.
        public var mtu: Int
        /// As ``Disk/slot``.
        public var slot: Int?

        public init(tap: String, mac: MACAddress, mtu: Int, slot: Int? = nil) {
            self.tap = tap
            self.mac = mac
            self.mtu = mtu
            self.slot = slot
        }
    }

    /// How many places there are for what is plugged in while it runs, at most: disks and the card together.
    public static let slots = 8

    public var instance: InstanceID
    /// At the start.
    public var size: MachineSize
    /// The most that it can be resized to; nil keeps no room for more.
    public var largestSize: MachineSize?
    /// What it was resized to since, by ``VirtualMachine/resize(to:)``; nil if it never was.
    public var resized: MachineSize?
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
        size: MachineSize,
        largestSize: MachineSize? = nil,
        kernel: FilePath,
        initrd: FilePath,
        kernelArguments: [String],
        disks: [Disk],
        card: Card?,
        runtimeDirectory: FilePath
    ) {
        self.instance = instance
        self.size = size
        self.largestSize = largestSize
        self.kernel = kernel
        self.initrd = initrd
        self.kernelArguments = kernelArguments
        self.disks = disks
        self.card = card
        self.runtimeDirectory = runtimeDirectory
    }

    /// What its VMM opens of the agent's files.
    public var files: [ProcessFile] {
        [kernel, initrd].map { ProcessFile(path: $0, isWritable: false) } + disks.map(\.file)
    }
}

extension MachineDescription.Disk {
    /// What the VMM opens for it.
    public var file: ProcessFile { ProcessFile(path: path, isWritable: !readOnly) }
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
    /// What its disks were asked for; nil where the VMM does not count it.
    public var disks: DiskCounters?

    public init(
        cpuTime: Duration,
        residentMemory: ByteSize,
        virtualMemory: ByteSize,
        disks: DiskCounters? = nil
    ) {
        self.cpuTime = cpuTime
        self.residentMemory = residentMemory
        self.virtualMemory = virtualMemory
        self.disks = disks
    }
}

/// What a machine's disks were asked for since its VMM was started, all of them together.
public struct DiskCounters: Sendable, Hashable {
    public var readBytes: UInt64
    public var writtenBytes: UInt64
    public var reads: UInt64
    public var writes: UInt64

    public init(readBytes: UInt64, writtenBytes: UInt64, reads: UInt64, writes: UInt64) {
        self.readBytes = readBytes
        self.writtenBytes = writtenBytes
        self.reads = reads
        self.writes = writes
    }
}
