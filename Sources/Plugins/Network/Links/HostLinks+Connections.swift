import AgentCore
import CNetwork
import Glibc
import SystemPackage

extension HostLinks {
    /// Forgets all tracked IPv4 connections that an address has a part in.
    ///
    /// Whoever gets the address next does not inherit them. Where the kernel tracks none, nothing happens.
    func flushConnections(of address: IPv4Address) async throws {
        try await flushConnections { $0.original.involves(address) || $0.reply.involves(address) }
    }

    /// Forgets the tracked IPv4 connections that are meant.
    func flushConnections(where isMeant: @escaping @Sendable (Connection) -> Bool) async throws {
        try await perform(.netfilter) { socket in
            let connections: [Connection]
            do {
                connections = try socket.dump(Connection.list) { reply in
                    Connection(reply).flatMap { isMeant($0) ? $0 : nil }
                }
            } catch let error as NetlinkError where error.errno == .invalidArgument {
                // No part of the kernel answers to this message (nfnetlink_rcv_msg in net/netfilter/nfnetlink.c):
                // connection tracking is not there.
                return
            }
            // Few at a time: each is answered, and the answers wait in the socket's buffer.
            var rest = connections[...]
            while !rest.isEmpty {
                try socket.send(rest.prefix(64).map(\.deletion), tolerating: [.noSuchFileOrDirectory])
                rest = rest.dropFirst(64)
            }
        }
    }
}
