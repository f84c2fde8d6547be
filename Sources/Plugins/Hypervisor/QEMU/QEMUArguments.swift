import AgentCore
import SystemPackage

/// The command line of one machine: the whole of it, so that nothing comes from files of QEMU's configuration.
struct QEMUArguments {
    /// The model that guests see under software emulation.
    ///
    /// What TCG of QEMU 7.2 can do of an EPYC, which gives AVX2 to programs built for x86-64-v3. What it cannot do is switched off, else QEMU warns of each at every start. Not
    /// `max`, which can hang in the calibration of the TSC.
    static let emulatedProcessor =
        "EPYC,-3dnowprefetch,-fxsr-opt,-misalignsse,-nrip-save,-osvw,-rdseed,-sha-ni,-svm,-topoext,-xsavec"

    let machine: MachineDescription
    let accelerator: Accelerator
    let files: QEMUFiles
    /// Whether the host's kernel can carry the packets of virtio-net by itself.
    let vhost: Bool
    /// Whether it waits for a memory to take up instead of booting.
    var incoming = false

    /// What marks the process: the value of `-name`.
    static func mark(_ instance: InstanceID) -> String { "hypeman-\(instance)" }

    func make() throws -> [String] {
        var arguments = [
            "-name", Self.mark(machine.instance),
            "-nodefaults", "-no-user-config", "-display", "none",
            // Without spawn QEMU needs no program beside itself; plain `on` would still allow it.
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-machine", "q35,graphics=off,vmport=off,smbus=off,sata=off,hpet=off,dump-guest-core=off",
            // Loads the kernel's PVH entry at once, without a boot menu or option ROMs.
            "-bios", "qboot.rom",
        ]
        switch accelerator {
        case .kvm: arguments += ["-accel", "kvm", "-cpu", "host"]
        case .tcg: arguments += ["-accel", "tcg,thread=multi", "-cpu", Self.emulatedProcessor]
        }
        arguments += ["-smp", "cpus=\(machine.size.vcpus)", "-m", "size=\((machine.size.memory.bytes + 1023) >> 10)K"]
        arguments += ["-kernel", machine.kernel.string, "-initrd", machine.initrd.string]
        arguments += ["-append", KernelCommandLine.make(machine, accelerator: accelerator)]
        // Stopped until the agent listens to the console. A reset ends the process: the agent starts it again if the
        // instance's policy says so, and a guest whose kernel panics does not boot for ever.
        arguments += ["-S", "-no-reboot"]
        if incoming { arguments += ["-incoming", "defer"] }
        arguments += socket("control", files.control) + ["-mon", "chardev=control,mode=control"]
        arguments += socket("console", files.console) + ["-serial", "chardev:console"]
        arguments += try channel() + devices()
        for (number, disk) in machine.disks.enumerated() { arguments += try self.disk(disk, number) }
        if let card = machine.card { arguments += try self.card(card) }
        return arguments
    }

    private func channel() throws -> [String] {
        try socket("channel", files.channel)
            + device(["driver": "virtio-serial-pci", "id": "serial0", "max_ports": 2, "disable-legacy": "on"])
            + device([
                "driver": "virtserialport", "bus": "serial0.0", "chardev": "channel", "name": "org.hypeman.channel",
            ])
    }

    private func devices() throws -> [String] {
        try device(["driver": "virtio-rng-pci", "disable-legacy": "on"])
            + device(["driver": "virtio-balloon-pci", "free-page-reporting": true, "disable-legacy": "on"])
            + device(["driver": "pvpanic-pci"])
            // At an address of its own, out of the way of those that QEMU gives out in the order of the devices.
            + device(["driver": "pcie-pci-bridge", "id": .string(QEMUDevices.bridge), "addr": "1e"])
    }

    private func disk(_ disk: MachineDescription.Disk, _ number: Int) throws -> [String] {
        let name = disk.slot.map(QEMUDevices.name(ofSlot:)) ?? QEMUDevices.name(ofDisk: number)
        return try ["-blockdev", QEMUDevices.block(disk, as: name).json] + device(QEMUDevices.device(disk, as: name))
    }

    private func card(_ card: MachineDescription.Card) throws -> [String] {
        try ["-netdev", QEMUDevices.network(card, vhost: vhost).json] + device(QEMUDevices.device(card))
    }

    private func device(_ properties: QEMUValue) throws -> [String] { ["-device", try properties.json] }

    private func socket(_ id: String, _ path: FilePath) -> [String] {
        ["-chardev", "socket,id=\(id),path=\(escaped(path.string)),server=on,wait=off"]
    }

    /// A value within `key=value,key=value`, where a comma is written twice.
    private func escaped(_ value: String) -> String { value.replacing(",", with: ",,") }
}
