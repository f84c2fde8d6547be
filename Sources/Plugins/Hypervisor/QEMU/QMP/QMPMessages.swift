import AgentCore
import Foundation

/// What QEMU sends over QMP, one JSON object a line (docs/interop/qmp-spec.txt of QEMU).
enum QMPMessage: Equatable {
    /// The first one of a connection.
    case greeting(version: String)
    /// The answer to the command with this id; its value is decoded by who sent the command.
    case success(id: UInt64)
    case failure(id: UInt64?, QMPFailure)
    case event(QMPEvent)

    /// Reads a line.
    ///
    /// - Throws: `DecodingError` for anything that is none of the four.
    init(line: Data) throws {
        let envelope = try JSONDecoder().decode(Envelope.self, from: line)
        if let version = envelope.greeting?.version.qemu {
            self = .greeting(version: "\(version.major).\(version.minor).\(version.micro)")
        } else if let name = envelope.event {
            self = .event(
                QMPEvent(
                    name: name,
                    guest: envelope.data?.guest,
                    reason: envelope.data?.reason,
                    nospace: envelope.data?.nospace,
                    action: envelope.data?.action,
                    device: envelope.data?.device
                )
            )
        } else if let failure = envelope.error {
            self = .failure(id: envelope.id, failure)
        } else if envelope.hasReturn, let id = envelope.id {
            self = .success(id: id)
        } else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: [], debugDescription: "neither greeting, reply nor event")
            )
        }
    }

    private struct Envelope: Decodable {
        struct Greeting: Decodable {
            struct Version: Decodable {
                struct Numbers: Decodable {
                    var major: Int
                    var minor: Int
                    var micro: Int
                }
                var qemu: Numbers
            }
            var version: Version
        }

        struct EventData: Decodable {
            var guest: Bool?
            var reason: String?
            var nospace: Bool?
            var action: String?
            var device: String?

            enum CodingKeys: CodingKey { case guest, reason, nospace, action, device }

            init(from decoder: any Decoder) throws {
                // Other events use these words with other types; those are not read.
                let container = try decoder.container(keyedBy: CodingKeys.self)
                guest = try? container.decodeIfPresent(Bool.self, forKey: .guest)
                reason = try? container.decodeIfPresent(String.self, forKey: .reason)
                nospace = try? container.decodeIfPresent(Bool.self, forKey: .nospace)
                action = try? container.decodeIfPresent(String.self, forKey: .action)
                device = try? container.decodeIfPresent(String.self, forKey: .device)
            }
        }

        enum CodingKeys: String, CodingKey {
            case greeting = "QMP"
            case id, `return`, error, event, data
        }

        var greeting: Greeting?
        var id: UInt64?
        var hasReturn: Bool
        var error: QMPFailure?
        var event: String?
        var data: EventData?

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            greeting = try container.decodeIfPresent(Greeting.self, forKey: .greeting)
            id = try container.decodeIfPresent(UInt64.self, forKey: .id)
            hasReturn = container.contains(.return)
            error = try container.decodeIfPresent(QMPFailure.self, forKey: .error)
            event = try container.decodeIfPresent(String.self, forKey: .event)
            data = try container.decodeIfPresent(EventData.self, forKey: .data)
        }
    }
}

/// A command that QEMU refused.
struct QMPFailure: Error, Decodable, Equatable, CustomStringConvertible {
    var `class`: String
    var desc: String

    var description: String { desc }
}

/// Something that QEMU reports by itself, as far as it is used.
struct QMPEvent: Equatable, Sendable {
    var name: String
    /// Whether the guest asked for it (SHUTDOWN, RESET).
    var guest: Bool?
    /// Why (SHUTDOWN, RESET).
    var reason: String?
    /// Whether the host's disk is full (BLOCK_IO_ERROR).
    var nospace: Bool?
    /// What QEMU does about it: `stop`, `report` or `ignore` (BLOCK_IO_ERROR).
    var action: String?
    /// The id of the device that it is about (DEVICE_DELETED).
    var device: String?

    /// A write that the host's disk has no room for, after which the machine stands still.
    static let outOfSpace = QMPEvent(name: "BLOCK_IO_ERROR", nospace: true, action: "stop")
}

/// A command on its way to QEMU.
struct QMPCommand<Arguments: Encodable>: Encodable {
    var execute: String
    var arguments: Arguments?
    var id: UInt64
}

/// The arguments of a command that has none, and the value of a reply that says nothing.
struct QMPNothing: Codable, Sendable {}

/// A reply's value.
struct QMPReply<Value: Decodable>: Decodable {
    var `return`: Value
}
