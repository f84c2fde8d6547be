import AgentCore
import Foundation

/// The agent's environment: that of the process, over the `.env` of the working directory.
enum Environment {
    /// Reads both.
    ///
    /// - Throws: ``AgentError`` for a `.env` that does not parse, or cannot be read although it is there.
    static func load() throws -> [String: String] {
        let process = ProcessInfo.processInfo.environment
        let url = URL(fileURLWithPath: FileManager.default.currentDirectoryPath).appendingPathComponent(".env")
        guard FileManager.default.fileExists(atPath: url.path) else { return process }
        let text: String
        do {
            text = try String(contentsOf: url, encoding: .utf8)
        } catch {
            throw AgentError(.invalidArgument, "cannot read \(url.path)", cause: error)
        }
        return try EnvironmentFile(text, name: url.path).values.merging(process) { _, process in process }
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
        "OTEL_ENABLED", "OTEL_ENDPOINT", "CADDY_LISTEN_ADDRESS",
        "CADDY_ADMIN_ADDRESS",
        "CADDY_ADMIN_PORT", "CADDY_STOP_ON_SHUTDOWN", "INTERNAL_DNS_PORT", "ACME_EMAIL", "ACME_DNS_PROVIDER",
        "TLS_ALLOWED_DOMAINS",
        "MAX_CONCURRENT_SOURCE_BUILDS", "BUILDER_IMAGE", "REGISTRY_URL", "BUILD_TIMEOUT", "BUILD_SECRETS_DIR",
        "DEFAULT_HYPERVISOR", "OVERSUB_CPU", "OVERSUB_MEMORY", "OVERSUB_DISK", "OVERSUB_NETWORK", "OVERSUB_DISK_IO",
        "DISK_LIMIT",
        "NETWORK_LIMIT", "DISK_IO_LIMIT", "MAX_IMAGE_STORAGE",
    ]
}
