/// A port of the host that leads to one of an instance.
public struct PublishedPort: Sendable, Hashable, Codable {
    /// The protocols that can be published.
    public enum Transport: String, Sendable, Codable, CaseIterable {
        case tcp
        case udp
    }

    /// What can be given away once on a host.
    public struct Key: Sendable, Hashable, Comparable {
        public var hostPort: UInt16
        public var transport: Transport

        public init(hostPort: UInt16, transport: Transport) {
            self.hostPort = hostPort
            self.transport = transport
        }

        public static func < (lhs: Key, rhs: Key) -> Bool {
            (lhs.hostPort, lhs.transport.rawValue) < (rhs.hostPort, rhs.transport.rawValue)
        }
    }

    /// On every IPv4 address of the host: 1 to 65535.
    public var hostPort: UInt16
    /// Of the instance: 1 to 65535.
    public var guestPort: UInt16
    public var transport: Transport

    public init(hostPort: UInt16, guestPort: UInt16, transport: Transport = .tcp) {
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.transport = transport
    }

    /// The host's side of it.
    public var key: Key { Key(hostPort: hostPort, transport: transport) }
}

extension PublishedPort: LosslessStringConvertible {
    /// Reads `HOST:GUEST`, with `/tcp` or `/udp` behind it.
    public init?(_ description: String) {
        let parts = description.split(separator: "/", omittingEmptySubsequences: false)
        let ports = parts[0].split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let transport = parts.count == 1 ? .tcp : Transport(rawValue: String(parts[1])),
            ports.count == 2, let host = Self.port(ports[0]), let guest = Self.port(ports[1])
        else { return nil }
        self.init(hostPort: host, guestPort: guest, transport: transport)
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(text), port > 0 else { return nil }
        return port
    }

    public var description: String { "\(hostPort):\(guestPort)/\(transport.rawValue)" }
}
