import AgentCore
import Foundation
import SystemPackage

/// A disk and a card in QEMU's words, the same on its command line and over QMP.
enum QEMUDevices {
    /// The bridge whose places are plugged into while the machine runs.
    ///
    /// One bridge costs a boot less than a root port for each place does, and ACPI tells the guest of each.
    static let bridge = "hotplug"
    /// The one network backend.
    static let network = "net0"
    /// The device of the card that was there at the start.
    static let card = "card"

    /// The name of what is in a place: device, block node and all that belongs to it.
    static func name(ofSlot slot: Int) -> String { "slot\(slot)" }
    /// The name of a disk that was there at the start.
    static func name(ofDisk number: Int) -> String { "disk\(number)" }
    /// Whether something was plugged in while the machine ran.
    static func isSlot(_ name: String) -> Bool { (0..<MachineDescription.slots).contains { name == self.name(ofSlot: $0) } }

    /// The block device of a disk.
    ///
    /// - Throws: `invalidArgument` for a serial that the guest would not see whole.
    static func block(_ disk: MachineDescription.Disk, as name: String) throws -> QEMUValue {
        guard disk.serial.utf8.count <= 20 else {
            throw AgentError(.invalidArgument, "the disk serial \(disk.serial) is longer than 20 bytes")
        }
        let discard: QEMUValue = disk.readOnly ? "ignore" : "unmap"
        // Through the host's page cache, which instances of one image share, and threads rather than io_uring, which the
        // sandbox and some hosts forbid. The guest's flushes reach the disk.
        let file: QEMUValue = [
            "driver": "file", "filename": .string(disk.path.string), "aio": "threads", "discard": discard,
        ]
        return [
            "driver": "raw", "node-name": .string(name), "read-only": .bool(disk.readOnly), "discard": discard,
            "file": file,
        ]
    }

    /// The device that shows a disk to the guest.
    static func device(_ disk: MachineDescription.Disk, as name: String) -> QEMUValue {
        placed(
            [
                "driver": "virtio-blk-pci", "id": .string(name), "drive": .string(name),
                "serial": .string(disk.serial),
                // A full host disk makes the machine wait for room instead of showing its guest a broken disk.
                "werror": "enospc", "disable-legacy": "on",
            ],
            in: disk.slot
        )
    }

    /// What a card is connected to on the host.
    ///
    /// - Parameter vhost: Whether the host's kernel can carry the packets by itself.
    static func network(_ card: MachineDescription.Card, vhost: Bool) -> QEMUValue {
        [
            "type": "tap", "id": .string(network), "ifname": .string(card.tap), "script": "no", "downscript": "no",
            "vhost": .bool(vhost),
        ]
    }

    /// The device that shows a card to the guest.
    static func device(_ card: MachineDescription.Card) -> QEMUValue {
        placed(
            [
                "driver": "virtio-net-pci", "id": .string(card.slot.map(name(ofSlot:)) ?? Self.card),
                "netdev": .string(network), "mac": .string(card.mac.description), "host_mtu": .int(card.mtu),
                "romfile": "", "disable-legacy": "on",
            ],
            in: card.slot
        )
    }

    private static func placed(_ properties: [String: QEMUValue], in slot: Int?) -> QEMUValue {
        guard let slot else { return .object(properties) }
        // The bridge's own controller has its place 0.
        let place: [String: QEMUValue] = ["bus": .string(bridge), "addr": .string(String(slot + 1, radix: 16))]
        return .object(properties.merging(place) { $1 })
    }
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
