import AgentCore
import Glibc

/// A published port, and the instance that it leads to.
struct PortForward: Sendable, Hashable {
    var port: PublishedPort
    /// The instance's.
    var address: IPv4Address

    /// What can be given away once on a host.
    struct Key: Sendable, Hashable, Comparable {
        var hostPort: UInt16
        var transport: PublishedPort.Transport

        static func < (lhs: Key, rhs: Key) -> Bool {
            (lhs.hostPort, lhs.transport.rawValue) < (rhs.hostPort, rhs.transport.rawValue)
        }
    }

    /// Whether a connection was made to the port, at whichever address.
    func covers(_ connection: Connection) -> Bool {
        connection.original.destinationPort == port.hostPort
            && connection.original.transport == UInt8(port.transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
    }

    var key: Key { Key(hostPort: port.hostPort, transport: port.transport) }
}

extension NetworkEndpoint {
    /// Its published ports.
    var forwards: [PortForward] {
        publishedPorts.map { PortForward(port: $0, address: attachment.address) }
    }
}
