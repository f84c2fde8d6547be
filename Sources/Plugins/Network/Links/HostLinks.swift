import AgentCore

/// The links, routes and traffic limits of a host, by netlink.
///
/// Calls run one after the other on the network's own thread and may come from anywhere. All throw ``AgentError``:
/// `permissionDenied` without CAP_NET_ADMIN, `timeout` if the kernel does not answer, and what else is said.
struct HostLinks: Sendable {
    let network: HostNetwork

    init(network: HostNetwork) { self.network = network }

    /// All links.
    func links() async throws -> [Link] {
        try await route { try $0.links() }
    }

    /// One link; nil if there is none of that name.
    func link(named name: String) async throws -> Link? {
        try await route { try $0.link(named: name) }
    }

    /// All IPv4 addresses of the host, with the numbers of their links.
    func addresses() async throws -> [(link: Int32, address: LinkAddress)] {
        try await route { try $0.addresses() }
    }

    /// The IPv4 routes of the main table that lead to an interface.
    func routes() async throws -> [Route] {
        try await route { try $0.routes() }
    }

    /// Removes a link, with all that belongs to it; nothing happens if there is none.
    func removeLink(named name: String) async throws {
        try await route { try $0.removeLink(named: name) }
    }

    /// What went over a TAP, from the instance's point of view; nil if there is none of that name.
    func statistics(ofTap name: String) async throws -> NetworkCounters? {
        guard let statistics = try await link(named: name)?.statistics else { return nil }
        return NetworkCounters(
            receivedBytes: statistics.sentBytes,
            receivedPackets: statistics.sentPackets,
            sentBytes: statistics.receivedBytes,
            sentPackets: statistics.receivedPackets
        )
    }

    /// Runs requests on a socket of their own: opening one costs a few microseconds, and nothing is shared.
    func route<Value: Sendable>(
        _ body: @escaping @Sendable (inout NetlinkSocket) throws -> Value
    ) async throws -> Value {
        try await perform(.route, body)
    }

    func perform<Value: Sendable>(
        _ family: NetlinkSocket.Family,
        _ body: @escaping @Sendable (inout NetlinkSocket) throws -> Value
    ) async throws -> Value {
        do {
            return try await network.run {
                var socket = try NetlinkSocket(family)
                return try body(&socket)
            }
        } catch let error as NetlinkError {
            throw error.agentError
        }
    }
}
