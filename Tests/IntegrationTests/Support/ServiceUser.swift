import AgentTestSupport
import Foundation
import SystemPackage

/// An ordinary user with the two capabilities that the packaged service has, ambient, and no way to others: as systemd
/// starts the agent with `User=`, `AmbientCapabilities=` and `CapabilityBoundingSet=`.
struct ServiceUser {
    /// Of no entry in /etc/passwd.
    let number = 64_021
    private static let capabilities = "-all,+net_admin,+net_bind_service"
    /// As /proc/PID/status has them: CAP_NET_BIND_SERVICE (10) and CAP_NET_ADMIN (12) of linux/capability.h.
    let mask = "0000000000001400"

    /// Gives the user a test's directory, and in it what an ordinary user needs of /dev.
    func prepare(_ scratch: Scratch) async throws {
        // udev lets everybody open it (its 50-udev-default.rules), as do most hosts; some containers do not.
        try await tool("mknod", ["--mode=0666", scratch.appending("tun").string, "c", "10", "200"])
        try await tool("chown", ["\(number):\(number)", scratch.path.string])
    }

    /// A command line that runs another one as this user, with that device in place of the host's.
    ///
    /// Only inside `ip netns exec`, which has given the process mounts of its own.
    func command(_ command: [String], in scratch: Scratch) -> [String] {
        let set = Self.capabilities
        return [
            "sh", "-c", #"mount --bind "$1" /dev/net/tun && shift && exec setpriv "$@""#, "sh",
            scratch.appending("tun").string, "--reuid", "\(number)", "--regid", "\(number)", "--clear-groups",
            "--bounding-set", set, "--inh-caps", set, "--ambient-caps", set,
        ] + command
    }
}
