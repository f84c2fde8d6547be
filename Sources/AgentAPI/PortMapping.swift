/// A port of the host that leads to one of an instance, in requests and answers alike.
public struct PortMapping: Codable, Sendable, Hashable {
    public var hostPort: Int
    public var guestPort: Int
    /// `tcp` or `udp`; nil means tcp.
    public var transport: String?

    enum CodingKeys: String, CodingKey {
        case hostPort = "host_port"
        case guestPort = "guest_port"
        case transport = "protocol"
    }

    public init(hostPort: Int, guestPort: Int, transport: String? = nil) {
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.transport = transport
    }

    /// Reads one of a request.
    init(_ reader: FieldReader) throws(FieldError) {
        var reader = reader
        hostPort = try reader.requiredInteger("host_port")
        guestPort = try reader.requiredInteger("guest_port")
        transport = try reader.string("protocol")
        try reader.finish()
    }
}
