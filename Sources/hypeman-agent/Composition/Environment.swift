import AgentCore
import Foundation
import Glibc
import SystemPackage

/// The agent's environment: that of the process, over the `.env` of the working directory, over the configuration file.
enum Environment {
    /// Reads all three.
    ///
    /// - Throws: ``AgentError`` for a file that does not parse, or cannot be read although it is there or was named.
    static func load(_ process: [String: String] = ProcessInfo.processInfo.environment) throws -> [String: String] {
        let working = FileManager.default.currentDirectoryPath
        var values = try read("\(working == "/" ? "" : working)/.env", isNeeded: false)
        values.merge(process) { _, process in process }
        let variable = AgentConfiguration.defaultFile
        let named = values[variable.name].flatMap { $0.isEmpty ? nil : $0 }
        let file = try read(named ?? variable.path, isNeeded: named != nil)
        // Set to nothing is as good as not set.
        return file.merging(values) { file, nearer in nearer.isEmpty ? file : nearer }
    }

    /// More than all variables with their longest values.
    private static let largestFile = 1 << 20

    private static func read(_ path: String, isNeeded: Bool) throws -> [String: String] {
        guard isNeeded || access(path, F_OK) == 0 || errno != ENOENT else { return [:] }
        let text: String
        do {
            let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
            text = try file.closeAfter {
                // Foundation reads files alone, and /dev/null stands for an empty one.
                try withUnsafeTemporaryAllocation(byteCount: largestFile, alignment: 1) { buffer in
                    var count = 0
                    while count < buffer.count {
                        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
                        let read = try file.read(into: rest)
                        guard read > 0 else { break }
                        count += read
                    }
                    return String(decoding: buffer.prefix(count), as: UTF8.self)
                }
            }
        } catch {
            throw AgentError(
                .invalidArgument,
                "cannot read \(path) as this user; \(AgentConfiguration.defaultFile.name) names another file",
                cause: error
            )
        }
        return try EnvironmentFile(text, name: path).values
    }

    /// Names of the original Hypeman's variables that would mean something to its users and mean nothing here.
    static func ignored(in environment: [String: String]) -> [String] {
        let known = Set(AgentConfiguration.descriptions.map(\.name))
        return environment.keys.filter {
            original.contains($0) && !known.contains($0) || isOurs($0) && !known.contains($0)
        }
        .sorted()
    }

    private static func isOurs(_ name: String) -> Bool { name.hasPrefix("HYPEMAN_") && !clients.contains(name) }

    /// Read by the command line and by the build, not by the agent.
    private static let clients: Set<String> = [
        "HYPEMAN_SOCKET", "HYPEMAN_BASE_URL", "HYPEMAN_API_KEY", "HYPEMAN_WERROR",
    ]

    private static let original: Set<String> = [
        "BRIDGE_NAME", "SUBNET_CIDR", "SUBNET_GATEWAY", "UPLINK_INTERFACE", "DNS_SERVER", "LOG_ROTATE_INTERVAL",
        "MAX_TOTAL_VCPUS",
        "MAX_TOTAL_MEMORY", "MAX_TOTAL_VOLUME_STORAGE", "OTEL_ENABLED", "OTEL_ENDPOINT", "CADDY_LISTEN_ADDRESS",
        "CADDY_ADMIN_ADDRESS",
        "CADDY_ADMIN_PORT", "CADDY_STOP_ON_SHUTDOWN", "INTERNAL_DNS_PORT", "ACME_EMAIL", "ACME_DNS_PROVIDER",
        "TLS_ALLOWED_DOMAINS",
        "MAX_CONCURRENT_SOURCE_BUILDS", "BUILDER_IMAGE", "REGISTRY_URL", "BUILD_TIMEOUT", "BUILD_SECRETS_DIR",
        "DEFAULT_HYPERVISOR", "OVERSUB_CPU", "OVERSUB_MEMORY", "OVERSUB_DISK", "OVERSUB_NETWORK", "OVERSUB_DISK_IO",
        "DISK_LIMIT",
        "NETWORK_LIMIT", "DISK_IO_LIMIT", "MAX_IMAGE_STORAGE",
    ]
}
