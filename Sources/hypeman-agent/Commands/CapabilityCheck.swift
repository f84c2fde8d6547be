import AgentCore
import Foundation
import Glibc

/// Looks at whether this user may set up networks.
struct CapabilityCheck {
    /// Whether the configuration asks for a network that has to be set up.
    var isNeeded: Bool
    /// Of this process; nil if the kernel does not tell.
    var capabilities = Capabilities.current()
    /// This program's file.
    var executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "hypeman-agent"
    /// The device that TAP interfaces are made and opened with.
    var tunDevice = "/dev/net/tun"

    /// What the bridge network needs of the process and its user.
    func findings() -> [HostFinding] {
        [rights(), tun()].map { finding in
            guard !isNeeded, finding.level != .ok else { return finding }
            return HostFinding(.ok, finding.subject, "\(finding.message); not needed without a network")
        }
    }

    private func rights() -> HostFinding {
        let subject = "capabilities"
        guard let capabilities else {
            return HostFinding(.warning, subject, "the kernel does not tell this process's capabilities")
        }
        func names(_ set: [ProcessCapability]) -> String { set.map(\.name).joined(separator: ", ") }
        let missing = Capabilities.needed.filter { !capabilities.own.contains($0) }
        let kept = Capabilities.needed.filter { !missing.contains($0) && !capabilities.passedOn.contains($0) }
        let wanted = Capabilities.needed.map(\.name).joined(separator: ",")
        let fix = "setcap \(wanted)=+eip \(executable), or run as root, or as the packaged service"
        guard missing.isEmpty else {
            let rest = names(Capabilities.needed.filter { !missing.contains($0) })
            let has = rest.isEmpty ? "none of them" : "only \(rest)"
            return HostFinding(
                .error,
                subject,
                "the network needs \(names(Capabilities.needed)), and this process has \(has): missing is \(names(missing))",
                fix: fix
            )
        }
        guard kept.isEmpty else {
            return HostFinding(
                .error,
                subject,
                "the tools that set up the network do not get \(names(kept)) from this process",
                fix: "\(fix); 'setpriv --no-new-privs' and a bounding set without them prevent it"
            )
        }
        return HostFinding(.ok, subject, "\(names(Capabilities.needed)), also for tools")
    }

    private func tun() -> HostFinding {
        guard FileManager.default.fileExists(atPath: tunDevice) else {
            return HostFinding(.error, tunDevice, "it is not there", fix: "modprobe tun")
        }
        // Any user may open it by udev's rules; interfaces have owners of their own.
        guard access(tunDevice, R_OK | W_OK) == 0 else {
            return HostFinding(
                .error,
                tunDevice,
                "this user may not open it: \(String(cString: strerror(errno)))",
                fix: "chmod 0666 \(tunDevice); to keep it so: "
                    + "echo 'KERNEL==\"tun\", MODE=\"0666\"' >/etc/udev/rules.d/60-tun.rules"
            )
        }
        return HostFinding(.ok, tunDevice, "can be opened")
    }
}
