import AgentCore
import DBus

/// A published port, `(qqs)`: of the host, of the guest, transport.
struct PortValue: DBusRepresentable {
    static let dbusSignature = "(qqs)"

    var host: UInt16
    var guest: UInt16
    var transport: String

    init(_ port: PublishedPort) {
        (host, guest, transport) = (port.hostPort, port.guestPort, port.transport.rawValue)
    }

    init?(_ value: Value) {
        guard case .structure(let fields) = value, fields.count == 3, case .uint16(let host) = fields[0],
            case .uint16(let guest) = fields[1], case .string(let transport) = fields[2]
        else { return nil }
        (self.host, self.guest, self.transport) = (host, guest, transport)
    }

    var dbusValue: Value { .structure([.uint16(host), .uint16(guest), .string(transport)]) }

    /// - Throws: `invalidArgument` `invalid_ports`.
    func port() throws(AgentError) -> PublishedPort {
        guard host > 0, guest > 0 else {
            throw AgentError(.invalidArgument, code: "invalid_ports", "port 0 is none: it must be from 1 to 65535")
        }
        guard let transport = PublishedPort.Transport(rawValue: transport) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_ports",
                "protocol '\(transport.prefix(20))' of port \(host) is not known: use tcp or udp"
            )
        }
        return PublishedPort(hostPort: host, guestPort: guest, transport: transport)
    }
}

/// An entry of a list, `(osa{sv})`: object, name, and what lists show.
struct ListEntry: DBusRepresentable {
    static let dbusSignature = "(osa{sv})"

    var path: ObjectPath
    var name: String
    var properties: [String: Variant]

    init(_ path: ObjectPath, _ name: String, _ properties: [String: Variant]) {
        (self.path, self.name, self.properties) = (path, name, properties)
    }

    init?(_ value: Value) {
        guard case .structure(let fields) = value, fields.count == 3, let path = ObjectPath(fields[0]),
            let name = String(fields[1]), let properties = [String: Variant](fields[2])
        else { return nil }
        self.init(path, name, properties)
    }

    var dbusValue: Value { .structure([.objectPath(path), .string(name), properties.dbusValue]) }
}
