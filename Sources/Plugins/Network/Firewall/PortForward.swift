import AgentCore
import Glibc

/// A published port, and the instance that it leads to.
struct PortForward: Sendable, Hashable {
    var port: PublishedPort
    /// The instance's.
    var address: IPv4Address

    /// Whether a connection was made to the port, at whichever address.
    func covers(_ connection: Connection) -> Bool {
        connection.original.destinationPort == port.hostPort
            && connection.original.transport == UInt8(port.transport == .tcp ? IPPROTO_TCP : IPPROTO_UDP)
    }

    var key: PublishedPort.Key { port.key }
}

extension NetworkEndpoint {
    /// Its published ports.
    var forwards: [PortForward] {
        publishedPorts.map { PortForward(port: $0, address: attachment.address) }
    }
}
