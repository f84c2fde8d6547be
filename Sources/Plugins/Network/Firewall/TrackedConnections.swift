import AgentCore
import Glibc

/// The kernel's memory of connections, where translations are remembered for as long as packets come (conntrack(8)).
///
/// Only the first packet of a connection is looked at for a translation, so changes of published ports do not concern
/// what is remembered until it is forgotten.
struct TrackedConnections: Sendable {
    static let tool = HostTool(name: "conntrack", package: "conntrack")

    let network: HostNetwork

    /// Forgets what was led to an instance by a published port.
    func forget(_ forward: PortForward) async throws {
        try await delete(forward.key, ["--reply-src", "\(forward.address)"])
    }

    /// Forgets what came to the host itself by a port that is now to lead to an instance.
    ///
    /// UDP only: there a peer goes on sending from the same port, while TCP begins anew.
    func forgetHost(_ key: PortForward.Key) async throws {
        guard key.transport == .udp else { return }
        for address in try await network.run({ try Self.hostAddresses() }) {
            try await delete(key, ["--orig-dst", "\(address)"])
        }
    }

    private func delete(_ key: PortForward.Key, _ filter: [String]) async throws {
        let arguments = ["-D", "-p", key.transport.rawValue, "--orig-port-dst", "\(key.hostPort)"] + filter
        let result = try await Self.tool.run(arguments, in: network)
        // It also fails if there was nothing to forget.
        guard result.isSuccess || result.errors.contains(" 0 flow entries have been deleted") else {
            throw Nft.refusal("conntrack", result)
        }
    }

    private static func hostAddresses() throws -> Set<IPv4Address> {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else {
            throw AgentError(.internal, "the host's addresses cannot be listed (errno \(errno))")
        }
        defer { freeifaddrs(list) }
        var addresses: Set<IPv4Address> = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET else { continue }
            address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                _ = addresses.insert(IPv4Address(value: UInt32(bigEndian: address.pointee.sin_addr.s_addr)))
            }
        }
        return addresses
    }
}
