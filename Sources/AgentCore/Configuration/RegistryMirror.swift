/// A copy of a registry, which is asked before the registry itself.
public struct RegistryMirror: Sendable, Hashable, CustomStringConvertible {
    /// Whose copy it is, as in references: `docker.io`.
    public let registry: String
    /// Whether it is spoken to with TLS.
    public let isSecure: Bool
    /// Host name, and port where it is not the scheme's own.
    public let host: String
    /// What comes before the repository there, without slashes around it; empty for none.
    public let path: String

    /// Reads `docker.io=https://mirror.example`, where a path stands before the repository as in Harbor's proxy projects.
    ///
    /// - Returns: nil for anything else, also for a URL with a user, a query or a fragment.
    public init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let name = try? ImageReference("\(parts[0])/name"), name.registry == parts[0],
            let scheme = ["https://", "http://"].first(where: parts[1].hasPrefix)
        else { return nil }
        var rest = parts[1].dropFirst(scheme.count)
        while rest.last == "/" { rest.removeLast() }
        let host = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(host.count + 1)
        // A host of one word, such as 'mirror', is no registry in a reference, but one with a port is.
        guard
            let mirror = try? ImageReference(
                "\(host.contains(":") ? host : "\(host):1")/\(path.isEmpty ? "name" : path)"
            ),
            mirror.registry.hasPrefix(host), mirror.digest == nil, mirror.tag == "latest",
            path.isEmpty || mirror.repository == path
        else { return nil }
        registry = name.registry
        isSecure = scheme == "https://"
        self.host = String(host)
        self.path = String(path)
    }

    public var description: String {
        "\(registry)=\(isSecure ? "https" : "http")://\(host)\(path.isEmpty ? "" : "/\(path)")"
    }
}
