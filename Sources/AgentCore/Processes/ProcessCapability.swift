/// A right of root's that a process can have without being root: its number as in capabilities(7).
public enum ProcessCapability: Int, Sendable, Hashable, CaseIterable {
    /// CAP_SETGID: give up groups.
    case groups = 6
    /// CAP_NET_BIND_SERVICE: listen on a port below 1024.
    case privilegedPorts = 10
    /// CAP_NET_ADMIN: set up interfaces, routes and filters.
    case networkAdministration = 12
    /// CAP_SYS_ADMIN: enter namespaces, among much else.
    case systemAdministration = 21

    /// As the kernel's header calls it.
    public var name: String {
        switch self {
        case .groups: "cap_setgid"
        case .privilegedPorts: "cap_net_bind_service"
        case .networkAdministration: "cap_net_admin"
        case .systemAdministration: "cap_sys_admin"
        }
    }
}

extension ProcessCapability {
    /// Its bit in the kernel's sets.
    public var bit: UInt64 { 1 << UInt64(rawValue) }
}

extension Set<ProcessCapability> {
    /// The kernel's set of them, one bit each.
    public var mask: UInt64 { reduce(0) { $0 | $1.bit } }
}
