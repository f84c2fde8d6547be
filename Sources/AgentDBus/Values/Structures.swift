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

/// A volume as an instance has it, `(osbt)`: object, mount path, read-only, size of the overlay (0 without one).
struct MountValue: DBusRepresentable {
    static let dbusSignature = "(osbt)"

    private let mount: VolumeMount

    init(_ mount: VolumeMount) { self.mount = mount }

    /// Is only ever told.
    init?(_ value: Value) { nil }

    var dbusValue: Value {
        .structure([
            .objectPath(.volume(mount.volume)), .string(mount.path.rawValue), .boolean(mount.readOnly),
            .uint64(UInt64(clamping: mount.overlaySize?.bytes ?? 0)),
        ])
    }
}

/// An instance that has a volume, `(osb)`: object, mount path, read-only.
struct AttachmentValue: DBusRepresentable {
    static let dbusSignature = "(osb)"

    private let attachment: VolumeAttachment

    init(_ attachment: VolumeAttachment) { self.attachment = attachment }

    /// Is only ever told.
    init?(_ value: Value) { nil }

    var dbusValue: Value {
        .structure([
            .objectPath(.instance(attachment.instance)), .string(attachment.path.rawValue),
            .boolean(attachment.readOnly),
        ])
    }
}

/// A volume as a caller wants it for a new instance, `(ssbt)`: its id, name or prefix of an id; mount path, read-only,
/// size of the overlay (0 without one).
struct MountRequestValue: DBusRepresentable {
    static let dbusSignature = "(ssbt)"

    var volume: String
    var path: String
    var readOnly: Bool
    var overlaySize: UInt64

    init?(_ value: Value) {
        guard case .structure(let fields) = value, fields.count == 4, case .string(let volume) = fields[0],
            case .string(let path) = fields[1], case .boolean(let readOnly) = fields[2],
            case .uint64(let overlaySize) = fields[3]
        else { return nil }
        (self.volume, self.path, self.readOnly, self.overlaySize) = (volume, path, readOnly, overlaySize)
    }

    var dbusValue: Value { .structure([.string(volume), .string(path), .boolean(readOnly), .uint64(overlaySize)]) }

    /// - Throws: `invalidArgument` `invalid_mount_path` or `invalid_volume_overlay`.
    func request() throws(AgentError) -> VolumeMountRequest {
        guard overlaySize == 0 || readOnly else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_volume_overlay",
                "the overlay over volume '\(volume.prefix(80))' needs the volume to be read-only"
            )
        }
        return VolumeMountRequest(
            volume: volume,
            path: try MountPath(path),
            readOnly: readOnly,
            overlaySize: overlaySize == 0 ? nil : ByteSize(bytes: Int(clamping: overlaySize))
        )
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
