import AgentCore

/// Where a registry's API is, or that of a mirror of it.
struct RegistryEndpoint: Hashable {
    /// Whose credentials are shown there: as in references, and in Docker's configuration.
    let registry: String
    let host: String
    let isSecure: Bool
    /// What stands before the repository, with a slash at its end; empty for most.
    private let prefix: String
    /// The registry that a mirror stands in for; nil for a registry itself.
    let original: String?

    init(_ registry: String, insecure: Set<String>) {
        self.registry = registry
        host = registry == "docker.io" ? "registry-1.docker.io" : registry
        isSecure = !insecure.contains(registry)
        prefix = ""
        original = nil
    }

    init(_ mirror: RegistryMirror) {
        registry = mirror.host
        host = mirror.host
        isSecure = mirror.isSecure
        prefix = mirror.path.isEmpty ? "" : mirror.path + "/"
        original = mirror.registry
    }

    var isMirror: Bool { original != nil }

    /// As the registry knows it.
    func repository(_ repository: String) -> String { prefix + repository }

    func url(_ repository: String, _ kind: String, _ reference: String) -> String {
        // A mirror of several registries is told which one is meant, as containerd does.
        "\(isSecure ? "https" : "http")://\(host)/v2/\(prefix)\(repository)/\(kind)/\(reference)"
            + (original.map { "?ns=\($0)" } ?? "")
    }
}
