import AgentCore
import HTTPTypes

/// What a path under `/v2/` names (OCI distribution-spec 1.1, "Endpoints").
///
/// Names of repositories have slashes in them, so a path is read from its end.
enum RegistryTarget: Sendable {
    case base
    case uploads(RepositoryName)
    case upload(RepositoryName, String)
    case blob(RepositoryName, String)
    case manifest(RepositoryName, String)
    case tags(RepositoryName)

    /// Whether a path belongs to the registry.
    static func covers(_ path: String) -> Bool { path == "/v2" || path.hasPrefix("/v2/") || path.hasPrefix("/v2?") }

    /// - Throws: ``RegistryError`` for what is no path of a registry, ``AgentError`` `invalid_name`.
    init(_ segments: [String]) throws {
        var rest = segments.dropFirst()
        if rest.last == "" { rest = rest.dropLast() }
        guard !rest.isEmpty else {
            self = .base
            return
        }
        func name(_ count: Int) throws(AgentError) -> RepositoryName {
            try RepositoryName(rest.dropLast(count).joined(separator: "/"))
        }
        let last = rest.last ?? ""
        let words = (rest.dropLast(2).last ?? "", rest.dropLast().last ?? "")
        switch (words.0, words.1) {
        case ("blobs", "uploads") where rest.count > 3: self = .upload(try name(3), last)
        case (_, "blobs") where last == "uploads" && rest.count > 2: self = .uploads(try name(2))
        case (_, "blobs") where rest.count > 2: self = .blob(try name(2), last)
        case (_, "manifests") where rest.count > 2: self = .manifest(try name(2), last)
        case (_, "tags") where last == "list" && rest.count > 2: self = .tags(try name(2))
        case (_, "referrers"):
            // A registry without it says 404, and clients fall back to tags.
            throw RegistryError(.unsupported, status: .notFound, "this registry keeps no list of referrers")
        default: throw RegistryError(.nameUnknown, status: .notFound, "there is no such path in a registry")
        }
    }

    /// The methods that it has, and the scopes of which one suffices for each; none suffices for whoever is known.
    var methods: [HTTPRequest.Method: [Scope]] {
        let (read, write) = (Scope(.image, .read), Scope(.image, .write))
        return switch self {
        case .base: [.get: [], .head: []]
        case .uploads: [.post: [write]]
        case .upload: [.get: [write], .patch: [write], .put: [write], .delete: [write]]
        // Who pushes looks first what is here already.
        case .blob: [.get: [read], .head: [read, write]]
        case .manifest: [.get: [read], .head: [read, write], .put: [write], .delete: [Scope(.image, .delete)]]
        case .tags: [.get: [read], .head: [read]]
        }
    }
}
