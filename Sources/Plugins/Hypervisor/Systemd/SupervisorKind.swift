public import AgentCore
import Glibc
public import SystemPackage

/// What starts VMMs on this host.
public enum SupervisorKind: Sendable, Hashable {
    /// The packaged units.
    case systemd
    /// The agent itself.
    case child

    /// Where the units have the agent's data.
    public static let dataDirectory: FilePath = "/var/lib/hypeman"
    /// The group of the agent's process through which units get its files.
    public static let group = "hypeman-vm"
    private static let unitFile = "hypeman-vm@.service"
    /// Where systemd looks for units (systemd.unit(5)).
    private static let unitDirectories: [FilePath] = [
        "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]

    /// What a configuration comes to here; what was asked for is taken even if it cannot be, which its start then says.
    public init(_ choice: SupervisorChoice) {
        switch choice {
        case .systemd: self = .systemd
        case .child: self = .child
        case .auto: self = Self.obstacle() == nil ? .systemd : .child
        }
    }

    /// The group that TAPs and files are handed to; nil where VMMs have the agent's user.
    public var machineGroup: UInt32? {
        switch self {
        case .systemd: getegid()
        case .child: nil
        }
    }

    /// Why this process cannot run VMs in units; nil if it can.
    public static func obstacle() -> String? {
        // As sd_booted(3) finds out.
        guard access("/run/systemd/system", F_OK) == 0 else { return "systemd does not run this host" }
        guard unitDirectories.contains(where: { access($0.appending(unitFile).string, R_OK) == 0 }) else {
            return "\(unitFile) is not installed"
        }
        guard let entry = getgrnam(group) else { return "there is no group \(group)" }
        guard entry.pointee.gr_gid == getegid() else {
            return "the agent's group is not \(group), as in hypeman-agent.service"
        }
        return nil
    }
}
