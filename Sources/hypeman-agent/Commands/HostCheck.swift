import AgentCore
import Foundation
import HypervisorPlugin
import Logging
import SystemPackage

/// Looks at a host with the eyes of the agent.
struct HostCheck {
    struct Finding: Sendable, Hashable {
        enum Level: String, Sendable {
            case ok = "ok     "
            case warning = "warning"
            case error = "error  "
        }

        var level: Level
        var subject: String
        var message: String
        /// The command or setting that mends it.
        var fix: String?
    }

    let configuration: AgentConfiguration

    func findings() async -> [Finding] {
        var findings = [
            directory("DATA_DIR", configuration.dataDirectory),
            directory("RUNTIME_DIR", configuration.runtimeDirectory),
        ]
        findings.append(freeSpace())
        findings.append(guestFiles())
        findings.append(tool("mkfs.ext4", package: "e2fsprogs", "makes overlay disks"))
        findings.append(await hypervisor())
        findings.append(wiring())
        findings.append(tcp())
        return findings
    }

    private func directory(_ name: String, _ path: FilePath) -> Finding {
        var existing = path
        while !FileManager.default.fileExists(atPath: existing.string), existing.removeLastComponent() {}
        guard FileManager.default.isWritableFile(atPath: existing.string) else {
            return Finding(
                level: .error,
                subject: name,
                message: "\(path) cannot be written by this user",
                fix: "run as root, or set \(name) to a directory of yours"
            )
        }
        return Finding(level: .ok, subject: name, message: "\(path)")
    }

    private func freeSpace() -> Finding {
        var existing = configuration.dataDirectory
        while !FileManager.default.fileExists(atPath: existing.string), existing.removeLastComponent() {}
        guard let attributes = try? FileManager.default.attributesOfFileSystem(forPath: existing.string),
            let free = attributes[.systemFreeSize] as? NSNumber
        else {
            return Finding(level: .warning, subject: "disk", message: "the free space of \(existing) cannot be read")
        }
        let size = ByteSize(bytes: free.intValue)
        guard size >= .gibibytes(2) else {
            return Finding(
                level: .warning,
                subject: "disk",
                message: "only \(size) are free for images and overlays",
                fix: "free some space, or set DATA_DIR to a larger file system"
            )
        }
        return Finding(level: .ok, subject: "disk", message: "\(size) free")
    }

    private func guestFiles() -> Finding {
        do {
            let files = try GuestFiles(configuration: configuration)
            return Finding(level: .ok, subject: "guest", message: "\(files.kernel), \(files.initrd)")
        } catch {
            return Finding(level: .error, subject: "guest", message: error.message, fix: "make guest")
        }
    }

    private func tool(_ name: String, package: String, _ purpose: String) -> Finding {
        // Debian keeps mkfs in sbin, which is not in an ordinary user's PATH.
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        guard
            let found = (path + ["/usr/sbin", "/sbin"]).map({ "\($0)/\(name)" }).first(
                where: FileManager.default.isExecutableFile
            )
        else {
            return Finding(
                level: .error,
                subject: name,
                message: "it is not installed; it \(purpose)",
                fix: "apt-get install \(package)"
            )
        }
        return Finding(level: .ok, subject: name, message: found)
    }

    private func hypervisor() async -> Finding {
        do {
            let information = try await QEMUDriver.information(QEMUConfiguration(agent: configuration))
            let what =
                "QEMU \(information.version) at \(information.executable), accelerator \(information.accelerator.rawValue)"
            guard let reason = information.acceleratorReason else {
                return Finding(level: .ok, subject: "hypervisor", message: what)
            }
            return Finding(
                level: .warning,
                subject: "hypervisor",
                message: "\(what): \(reason)",
                fix: "use a host with hardware virtualisation, or go on about ten times slower"
            )
        } catch {
            return Finding(
                level: .error,
                subject: "hypervisor",
                message: "\(error)",
                fix: "apt-get install qemu-system-x86"
            )
        }
    }

    private func wiring() -> Finding {
        let graph = AgentGraph.make(configuration, logger: AgentLog.makeLogger(level: .critical))
        let problems = graph.problems(for: Agent.self, reportingUnused: true)
        guard problems.isEmpty else {
            return Finding(
                level: .error,
                subject: "wiring",
                message: problems.map(\.description).joined(separator: "\n")
            )
        }
        return Finding(level: .ok, subject: "wiring", message: "complete")
    }

    private func tcp() -> Finding {
        guard configuration.jwtSecret != nil else {
            return Finding(
                level: .warning,
                subject: "TCP API",
                message: "off: there is no secret for its tokens",
                fix: "set JWT_SECRET, or use the unix socket \(configuration.socket) alone"
            )
        }
        return Finding(level: .ok, subject: "TCP API", message: "\(configuration.bindAddress):\(configuration.port)")
    }
}
