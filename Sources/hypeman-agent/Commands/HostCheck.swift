import AgentCore
import AgentDBus
import AgentHTTP
import Foundation
import HypervisorPlugin
import Logging
import SystemPackage

/// Looks at a host with the eyes of the agent.
struct HostCheck {
    let configuration: AgentConfiguration

    func findings() async -> [HostFinding] {
        var findings = [
            directory("DATA_DIR", configuration.dataDirectory),
            directory("RUNTIME_DIR", configuration.runtimeDirectory),
        ]
        findings.append(freeSpace())
        findings.append(guestFiles())
        findings.append(tool("mkfs.ext4", package: "e2fsprogs", "makes overlay disks"))
        findings.append(SupervisorCheck(choice: configuration.supervisor).finding())
        findings += await hypervisors()
        findings += await network()
        findings += CapabilityCheck(isNeeded: configuration.network != .none).findings()
        findings.append(wiring())
        findings.append(tcp())
        findings += await bus()
        return findings
    }

    private func directory(_ name: String, _ path: FilePath) -> HostFinding {
        var existing = path
        while !FileManager.default.fileExists(atPath: existing.string), existing.removeLastComponent() {}
        guard FileManager.default.isWritableFile(atPath: existing.string) else {
            return HostFinding(
                .error,
                name,
                "\(path) cannot be written by this user",
                fix: "run as root, or set \(name) to a directory of yours"
            )
        }
        return HostFinding(.ok, name, "\(path)")
    }

    private func freeSpace() -> HostFinding {
        var existing = configuration.dataDirectory
        while !FileManager.default.fileExists(atPath: existing.string), existing.removeLastComponent() {}
        guard let attributes = try? FileManager.default.attributesOfFileSystem(forPath: existing.string),
            let free = attributes[.systemFreeSize] as? NSNumber
        else {
            return HostFinding(.warning, "disk", "the free space of \(existing) cannot be read")
        }
        let size = ByteSize(bytes: free.intValue)
        guard size >= .gibibytes(2) else {
            return HostFinding(
                .warning,
                "disk",
                "only \(size) are free for images and overlays",
                fix: "free some space, or set DATA_DIR to a larger file system"
            )
        }
        return HostFinding(.ok, "disk", "\(size) free")
    }

    private func guestFiles() -> HostFinding {
        do {
            let files = try GuestFiles(configuration: configuration)
            return HostFinding(.ok, "guest", "\(files.kernel), \(files.initrd)")
        } catch {
            return HostFinding(.error, "guest", error.message, fix: "make guest")
        }
    }

    private func tool(_ name: String, package: String, _ purpose: String) -> HostFinding {
        // Debian keeps mkfs in sbin, which is not in an ordinary user's PATH.
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        guard
            let found = (path + ["/usr/sbin", "/sbin"]).map({ "\($0)/\(name)" }).first(
                where: FileManager.default.isExecutableFile
            )
        else {
            return HostFinding(
                .error,
                name,
                "it is not installed; it \(purpose)",
                fix: "apt-get install \(package)"
            )
        }
        return HostFinding(.ok, name, found)
    }

    /// Both, since an instance may name its own; only what would be used is worth an error.
    private func hypervisors() async -> [HostFinding] {
        let choice = configuration.hypervisor
        var findings: [HostFinding] = []
        var isFound = false
        do {
            let found = try await CloudHypervisorDriver.information(
                CloudHypervisorConfiguration(agent: configuration, kind: SupervisorKind(configuration.supervisor))
            )
            isFound = true
            let others = found.otherVersions.isEmpty ? "" : "; also \(found.otherVersions.joined(separator: ", "))"
            findings.append(
                HostFinding(
                    .ok,
                    "hypervisor",
                    "Cloud Hypervisor \(found.version) at \(found.executable), accelerator "
                        + found.accelerator.rawValue + others
                )
            )
        } catch {
            let fix = "set HYPERVISOR=auto, which takes QEMU then"
            findings.append(missing(error, isNeeded: choice == .cloudHypervisor, fix: fix))
        }
        do {
            findings.append(qemu(try await QEMUDriver.information(.init(agent: configuration))))
        } catch {
            let isNeeded = choice == .qemu || (choice == .auto && !isFound)
            findings.append(missing(error, isNeeded: isNeeded, fix: "apt-get install qemu-system-x86"))
        }
        return findings
    }

    private func qemu(_ information: HypervisorInformation) -> HostFinding {
        let what =
            "QEMU \(information.version) at \(information.executable), accelerator \(information.accelerator.rawValue)"
        guard let reason = information.acceleratorReason else { return HostFinding(.ok, "hypervisor", what) }
        return HostFinding(
            .warning,
            "hypervisor",
            "\(what): \(reason)",
            fix: "use a host with hardware virtualisation, or go on about ten times slower"
        )
    }

    private func missing(_ error: any Error, isNeeded: Bool, fix: String) -> HostFinding {
        guard isNeeded else { return HostFinding(.ok, "hypervisor", "not used here: \(error)") }
        return HostFinding(.error, "hypervisor", "\(error)", fix: fix)
    }

    /// What the network's backend has to say; it is asked without an agent around it.
    private func network() async -> [HostFinding] {
        let graph = AgentGraph.make(configuration, logger: AgentLog.makeLogger(level: .critical))
        do {
            return try await graph.with((any NetworkBackend).self) { await $0.findings() }
        } catch {
            return [HostFinding(.error, "network", "\(error)")]
        }
    }

    private func wiring() -> HostFinding {
        let graph = AgentGraph.make(configuration, logger: AgentLog.makeLogger(level: .critical))
        let problems = graph.problems(for: Agent.self, reportingUnused: true)
        guard problems.isEmpty else {
            return HostFinding(
                .error,
                "wiring",
                problems.map(\.description).joined(separator: "\n")
            )
        }
        return HostFinding(.ok, "wiring", "complete")
    }

    private func bus() async -> [HostFinding] {
        do {
            return await BusCheck(try DBusConfiguration(agent: configuration)).findings()
        } catch {
            return [HostFinding(.error, "D-Bus", "\(error)", fix: "set DBUS to system, off, or an address")]
        }
    }

    private func tcp() -> HostFinding {
        guard configuration.jwtSecret != nil else {
            return HostFinding(
                .warning,
                "TCP API",
                "off: there is no secret for its tokens",
                fix: "set JWT_SECRET, or use the unix socket \(configuration.socket) alone"
            )
        }
        let address = "\(configuration.bindAddress):\(configuration.port)"
        do {
            try HTTPConfiguration(agent: configuration).tls?.check()
        } catch {
            return HostFinding(
                .error,
                "TCP API",
                "\(error)",
                fix: "set TLS_CERT and TLS_KEY to a certificate and its key, or neither"
            )
        }
        let isSecure = configuration.tlsCertificate != nil
        return HostFinding(.ok, "TCP API", "\(address), \(isSecure ? "with" : "without") TLS")
    }
}
