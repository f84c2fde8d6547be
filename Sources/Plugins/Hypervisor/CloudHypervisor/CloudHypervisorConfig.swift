import AgentCore
import SystemPackage

/// What devices are called in a Cloud Hypervisor: by what they are on the host, so that they are found again after a
/// restart of the agent, and by the slot of what was plugged in.
enum DeviceID {
    static let vsock = "vsock"

    static func disk(_ serial: String, slot: Int?) -> String { prefix(slot) + "disk-" + serial }
    static func card(slot: Int?) -> String { prefix(slot) + "card" }

    /// The slot of a device that was plugged in.
    static func slot(of id: String) -> Int? {
        guard id.hasPrefix("slot"), let end = id.firstIndex(of: "-") else { return nil }
        return Int(id[id.index(id.startIndex, offsetBy: 4)..<end])
    }

    static func isDisk(_ id: String, serial: String) -> Bool { withoutSlot(id) == "disk-" + serial }
    static func isDisk(_ id: String) -> Bool { withoutSlot(id).hasPrefix("disk-") }
    static func isCard(_ id: String) -> Bool { withoutSlot(id) == "card" }

    private static func prefix(_ slot: Int?) -> String { slot.map { "slot\($0)-" } ?? "" }

    private static func withoutSlot(_ id: String) -> Substring {
        guard let slot = slot(of: id) else { return id[...] }
        return id.dropFirst(prefix(slot).count)
    }
}

/// A machine's description as Cloud Hypervisor takes it.
struct CloudHypervisorConfig {
    /// Of every guest.
    ///
    /// The VMM carries the connections itself, so that the number means nothing to the host, and there is no other guest
    /// on it. 0 to 2 are taken (vsock(7)).
    static let contextID = 3
    /// A virtio-mem region is a multiple of it (docs/memory.md of Cloud Hypervisor, and Linux's memory block).
    static let memoryBlock = 128 << 20
    /// Its limiter pauses for 100 ms whenever a bucket is empty, so that short ones limit far below what they are for
    /// (docs/io_throttling.md).
    private static let refillMilliseconds = 1000

    let machine: MachineDescription
    let accelerator: Accelerator
    let files: CloudHypervisorFiles
    /// Where what is named later lies, if the VMM is to lock itself in; nil on a host without Landlock.
    let sandbox: [FilePath]?

    func make() throws -> VMConfig {
        VMConfig(
            cpus: VMConfig.CPUs(
                boot: machine.size.vcpus,
                maximum: max(machine.size.vcpus, machine.largestSize?.vcpus ?? 0)
            ),
            memory: memory,
            payload: VMConfig.Payload(
                // By way of a link that is there during the start only: a guest that resets finds no kernel to boot, and
                // its VMM exits, also while no agent is there to see to it. Otherwise it would boot again in the same
                // process.
                kernel: files.kernel.string,
                initramfs: machine.initrd.string,
                cmdline: KernelCommandLine.make(machine, accelerator: accelerator)
            ),
            rateLimitGroups: rateLimitGroups,
            disks: try machine.disks.map { try Self.disk($0, inGroup: true) },
            net: machine.card.map { [Self.net($0)] },
            serial: VMConfig.Console(mode: "Socket", socket: files.console.string),
            console: VMConfig.Console(mode: "Off"),
            vsock: VMConfig.Vsock(id: DeviceID.vsock, cid: Self.contextID, socket: files.vsock.string),
            landlockEnable: sandbox.map { _ in true },
            landlockRules: sandbox.map { Self.rules(files, $0) }
        )
    }

    private var memory: VMConfig.Memory {
        let size = Self.roundUp(machine.size.memory.bytes, to: 1 << 20)
        var memory = VMConfig.Memory(size: size)
        if let largest = machine.largestSize?.memory.bytes, largest > size {
            // By virtio-mem and not by ACPI, which takes nothing back before the next boot (docs/hotplug.md).
            memory.hotplugMethod = "VirtioMem"
            memory.hotplugSize = Self.roundUp(largest - size, to: Self.memoryBlock)
        }
        return memory
    }

    /// The groups of the machine's disks; none at all if it has none.
    private var rateLimitGroups: [VMConfig.RateLimitGroup]? {
        var groups: [VMConfig.RateLimitGroup] = []
        for disk in machine.disks {
            guard let id = disk.rateGroup, let limit = disk.rateLimit, !groups.contains(where: { $0.id == id }) else {
                continue
            }
            groups.append(VMConfig.RateLimitGroup(id: id, rateLimiter: Self.limiter(limit)))
        }
        return groups.isEmpty ? nil : groups
    }

    private static func limiter(_ limit: ByteSize) -> VMConfig.RateLimiter {
        VMConfig.RateLimiter(bandwidth: VMConfig.TokenBucket(size: limit.bytes, refillTime: refillMilliseconds))
    }

    /// One disk; `inGroup` says whether it shares the limit of its group.
    ///
    /// A machine that runs gets no new groups, so that a disk that is plugged in has its limit for itself.
    static func disk(_ disk: MachineDescription.Disk, inGroup: Bool = false) throws -> VMConfig.Disk {
        let group = inGroup && disk.rateLimit != nil ? disk.rateGroup : nil
        guard disk.serial.utf8.count <= 20 else {
            throw AgentError(.invalidArgument, "the disk serial \(disk.serial) is longer than 20 bytes")
        }
        return VMConfig.Disk(
            id: DeviceID.disk(disk.serial, slot: disk.slot),
            path: disk.path.string,
            serial: disk.serial,
            readOnly: disk.readOnly,
            // What the guest frees is freed on the host.
            sparse: !disk.readOnly,
            rateLimiter: group == nil ? disk.rateLimit.map(limiter) : nil,
            rateGroup: group
        )
    }

    static func net(_ card: MachineDescription.Card) -> VMConfig.Net {
        VMConfig.Net(
            id: DeviceID.card(slot: card.slot),
            tap: card.tap,
            mac: card.mac.description
        )
    }

    /// What the VMM may touch besides what it is told of in its configuration.
    ///
    /// Landlock looks at the directory when a file is made in it: the vsock's socket, and a snapshot.
    static func rules(_ files: CloudHypervisorFiles, _ directories: [FilePath]) -> [VMConfig.LandlockRule] {
        [VMConfig.LandlockRule(path: files.directory.string, access: "rw")]
            // A card that is plugged in: its TAP, and what the kernel says of it.
            + [VMConfig.LandlockRule(path: "/dev/net/tun", access: "rw")]
            + [VMConfig.LandlockRule(path: "/sys/devices/virtual/net", access: "r")]
            + directories.map { VMConfig.LandlockRule(path: $0.string, access: "rw") }
    }

    static func roundUp(_ value: Int, to unit: Int) -> Int { (value + unit - 1) / unit * unit }
}
