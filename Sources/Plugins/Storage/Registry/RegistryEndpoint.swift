import AgentCore

/// Where a registry's API is.
struct RegistryEndpoint: Hashable {
    /// As in references, and in Docker's configuration.
    let registry: String
    let host: String
    let isSecure: Bool

    init(_ registry: String, insecure: Set<String>) {
        self.registry = registry
        host = registry == "docker.io" ? "registry-1.docker.io" : registry
        isSecure = !insecure.contains(registry)
    }

    var scheme: String { isSecure ? "https" : "http" }

    func url(_ repository: String, _ kind: String, _ reference: String) -> String {
        "\(scheme)://\(host)/v2/\(repository)/\(kind)/\(reference)"
    }
}
