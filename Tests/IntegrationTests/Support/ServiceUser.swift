import AgentTestSupport
import Foundation
import SystemPackage

/// An ordinary user, of no entry in /etc/passwd, whose processes have no capabilities but those that are named, ambient,
/// and no way to others: as systemd starts a service with `User=`, `AmbientCapabilities=` and `CapabilityBoundingSet=`.
struct ServiceUser {
    /// What the packaged service may do: networks, and ports below 1024.
    static let packaged = ServiceUser(capabilities: ["net_admin", "net_bind_service"])
    /// Nothing.
    static let plain = ServiceUser(capabilities: [])

    let number = 64_021
    private let capabilities: [String]

    /// The packaged service's capabilities as /proc/PID/status has them: CAP_NET_BIND_SERVICE (10) and CAP_NET_ADMIN (12)
    /// of linux/capability.h.
    static let packagedMask = "0000000000001400"

    private var needsTun: Bool { !capabilities.isEmpty }

    private init(capabilities: [String]) { self.capabilities = capabilities }

    /// Gives the user a test's directory, and in it what an ordinary user needs of /dev.
    func prepare(_ scratch: Scratch) async throws {
        if needsTun {
            // udev lets everybody open it (its 50-udev-default.rules), as do most hosts; some containers do not.
            try await tool("mknod", ["--mode=0666", scratch.appending("tun").string, "c", "10", "200"])
        }
        try await tool("chown", ["\(number):\(number)", scratch.path.string])
    }

    /// A command line that runs another one as this user.
    ///
    /// That device is in place of the host's then, so it is for inside `ip netns exec`, which has given the process
    /// mounts of its own; ``plain`` doesn't need it.
    func command(_ command: [String], in scratch: Scratch) -> [String] {
        let set = (["-all"] + capabilities.map { "+\($0)" }).joined(separator: ",")
        let privileges =
            [
                "setpriv", "--reuid", "\(number)", "--regid", "\(number)", "--clear-groups",
                "--bounding-set", set, "--inh-caps", set, "--ambient-caps", set,
            ] + command
        guard needsTun else { return privileges }
        let tun = scratch.appending("tun").string
        return ["sh", "-c", #"mount --bind "$1" /dev/net/tun && shift && exec "$@""#, "sh", tun] + privileges
    }
}
