import AgentCore
import Foundation
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
        for (number, disk) in machine.disks.enumerated() { arguments += try self.disk(disk, "disk\(number)") }
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
    }

    private func disk(_ disk: MachineDescription.Disk, _ node: String) throws -> [String] {
        guard disk.serial.utf8.count <= 20 else {
            throw AgentError(.invalidArgument, "the disk serial \(disk.serial) is longer than 20 bytes")
        }
        let discard: QEMUValue = disk.readOnly ? "ignore" : "unmap"
        // Through the host's page cache, which instances of one image share, and threads rather than io_uring, which the
        // sandbox and some hosts forbid. The guest's flushes reach the disk.
        let file: QEMUValue = [
            "driver": "file", "filename": .string(disk.path.string), "aio": "threads", "discard": discard,
        ]
        let block: QEMUValue = [
            "driver": "raw", "node-name": .string(node), "read-only": .bool(disk.readOnly), "discard": discard,
            "file": file,
        ]
        return try ["-blockdev", block.json]
            + device([
                "driver": "virtio-blk-pci", "drive": .string(node), "serial": .string(disk.serial),
                // A full host disk makes the machine wait for room instead of showing its guest a broken disk.
                "werror": "enospc", "disable-legacy": "on",
            ])
    }

    private func card(_ card: MachineDescription.Card) throws -> [String] {
        let backend = "tap,id=net0,ifname=\(escaped(card.tap)),script=no,downscript=no,vhost=\(vhost ? "on" : "off")"
        return try ["-netdev", backend]
            + device([
                "driver": "virtio-net-pci", "netdev": "net0", "mac": .string(card.mac.description),
                "host_mtu": .int(card.mtu), "romfile": "", "disable-legacy": "on",
            ])
    }

    private func device(_ properties: QEMUValue) throws -> [String] { ["-device", try properties.json] }

    private func socket(_ id: String, _ path: FilePath) -> [String] {
        ["-chardev", "socket,id=\(id),path=\(escaped(path.string)),server=on,wait=off"]
    }

    /// A value within `key=value,key=value`, where a comma is written twice.
    private func escaped(_ value: String) -> String { value.replacing(",", with: ",,") }
}

/// A value in the JSON form of QEMU's options, which needs no escaping of its own.
enum QEMUValue: Encodable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByDictionaryLiteral
{
    case string(String)
    case int(Int)
    case bool(Bool)
    case object([String: QEMUValue])

    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int) { self = .int(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(dictionaryLiteral elements: (String, QEMUValue)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }

    var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .string(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .bool(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}
