import AgentCore
import SystemPackage

/// A request that the kernel refused, or did not answer.
struct NetlinkError: Error, Sendable, CustomStringConvertible {
    let errno: Errno
    /// What was asked for: completes "cannot …".
    let purpose: String
    /// The kernel's own words, where it has some (NLMSGERR_ATTR_MSG in linux/netlink.h).
    let detail: String?

    init(_ errno: Errno, purpose: String, detail: String? = nil) {
        self.errno = errno
        self.purpose = purpose
        self.detail = detail
    }

    var description: String { detail.map { "\($0) (\(errno))" } ?? errno.description }

    /// What leaves the plugin.
    var agentError: AgentError {
        switch errno {
        case .notPermitted, .permissionDenied:
            AgentError(
                .permissionDenied,
                "cannot \(purpose): the agent must run as root or with CAP_NET_ADMIN",
                cause: self
            )
        // EXFULL: a bridge's ports are used up (find_portno in the kernel's net/bridge/br_if.c).
        case Errno(rawValue: 54):
            AgentError(
                .quotaExceeded,
                code: "bridge_full",
                "cannot \(purpose): a bridge has \(BridgeConfiguration.maximumPorts) ports, and all are in use; stop "
                    + "another instance first",
                cause: self
            )
        case .wouldBlock, .timedOut: AgentError(.timeout, "cannot \(purpose): the kernel does not answer", cause: self)
        case .noSuchFileOrDirectory, Self.noDevice, Self.noAddress:
            AgentError(.notFound, "cannot \(purpose)", cause: self)
        case .fileExists: AgentError(.alreadyExists, "cannot \(purpose)", cause: self)
        case .resourceBusy: AgentError(.busy, "cannot \(purpose)", cause: self)
        case .notSupportedOnSocket, .notSupported: AgentError(.notSupported, "cannot \(purpose)", cause: self)
        default: AgentError(.unavailable, "cannot \(purpose)", cause: self)
        }
    }

    /// ENODEV: there is no such link.
    static let noDevice = Errno(rawValue: 19)
    /// ENXIO.
    static let noAddress = Errno(rawValue: 6)
}
