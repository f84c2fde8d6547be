import AgentCore

/// What a machine is started with so that it can be resized; nothing where it cannot.
struct QEMURoom {
    /// What memory is given and taken back in.
    static let block = 2 << 20
    /// The device whose memory grows and shrinks (virtio 1.2, 5.15).
    static let device = "room"
    /// Its memory on the host's side.
    private static let backend = "room-memory"

    /// vCPUs from the start.
    private let cold: Int
    /// vCPUs that there can be.
    private let most: Int
    /// vCPUs that there are.
    private let now: Int
    /// Bytes beyond the memory from the start; 0 is none.
    private let bytes: Int
    private let base: Int

    init(_ machine: MachineDescription) {
        let size = machine.size
        let largest = machine.largestSize ?? size
        now = machine.currentSize.vcpus
        // Those of the start that were taken out since are left out; those that were added are devices.
        cold = min(size.vcpus, now)
        most = max(largest.vcpus, size.vcpus, now)
        base = (size.memory.bytes + 1023) / 1024 * 1024
        bytes = (max(largest.memory.bytes - base, 0) + Self.block - 1) / Self.block * Self.block
    }

    /// The name of a vCPU that was added.
    static func name(ofProcessor number: Int) -> String { "cpu\(number)" }

    /// The value of `-smp`; one socket, so that a vCPU's place is its number.
    var processors: String {
        most == cold ? "cpus=\(cold)" : "cpus=\(cold),maxcpus=\(most),sockets=1,cores=\(most),threads=1"
    }

    /// Goes with the value of `-m`.
    var memory: String? { bytes == 0 ? nil : "maxmem=\((base + bytes) >> 10)K" }

    /// The host's side of the memory that may be added, of which nothing is taken before the guest has it.
    ///
    /// Not with `reserve=off`: QEMU reads /proc/sys/vm for that, which a VM's unit does not see, and it refuses it where the
    /// host's kernel counts what it promises (vm.overcommit_memory=2). Elsewhere the kernel refuses no more than what
    /// exceeds all its memory and swap (Documentation/mm/overcommit-accounting.rst of Linux).
    var backend: [String] {
        bytes == 0 ? [] : ["-object", "memory-backend-ram,id=\(Self.backend),size=\(bytes)"]
    }

    /// The devices: the memory that may be added, and the vCPUs that were.
    ///
    /// How much of the memory the guest had is in what was saved of it.
    func devices(emulated: Bool) -> [QEMUValue] {
        let memory: [QEMUValue] =
            bytes == 0
            ? []
            : [
                [
                    "driver": "virtio-mem-pci", "id": .string(Self.device), "memdev": .string(Self.backend),
                    "block-size": .int(Self.block), "requested-size": 0,
                ]
            ]
        let model = emulated ? QEMUArguments.emulatedProcessor.prefix { $0 != "," } : "host"
        return memory
            + (cold..<now).map { number in
                [
                    "driver": .string("\(model)-x86_64-cpu"), "id": .string(Self.name(ofProcessor: number)),
                    "socket-id": 0, "core-id": .int(number), "thread-id": 0,
                ]
            }
    }

    /// Words of the kernel's command line: memory is used as soon as it is there, and such that it can be taken back as
    /// long as three quarters of all are (Documentation/admin-guide/mm/memory-hotplug.rst of Linux).
    var kernelArguments: [String] {
        bytes == 0 ? [] : ["memhp_default_state=online", "memory_hotplug.online_policy=auto-movable"]
    }
}
