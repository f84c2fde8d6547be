/// The repository that a client pushes to: the path in the registry that the agent is.
///
/// It is the image's name as it would be typed: `team/app` is `docker.io/team/app`, `app` is `docker.io/library/app`, and
/// `ghcr.io/team/app` is itself.
public struct RepositoryName: Sendable, Hashable, CustomStringConvertible {
    /// As the client wrote it.
    public let description: String
    private let normalized: ImageReference

    /// Checks `text`.
    ///
    /// - Throws: ``AgentError`` `invalid_name`.
    public init(_ text: String) throws(AgentError) {
        // A reference's grammar has more in it than a path's: tags, digests, and hosts with capitals and ports.
        if let character = text.first(where: { $0 == ":" || $0 == "@" || $0.isUppercase }) {
            throw AgentError(
                .invalidArgument,
                code: "invalid_name",
                "repository name '\(text.prefix(300))' is not valid: it contains '\(character)'"
            )
        }
        normalized = try ImageReference(text)
        description = text
    }

    /// The image's name under a tag.
    ///
    /// - Throws: ``AgentError`` `invalid_name`.
    public func tagged(_ tag: String) throws(AgentError) -> ImageReference {
        // Without this a tag with '@' would be read as a digest.
        guard !tag.contains("@"), !tag.contains("/") else {
            throw AgentError(.invalidArgument, code: "invalid_name", "tag '\(tag.prefix(200))' is not valid")
        }
        return try ImageReference("\(description):\(tag)")
    }

    /// The tag under which an image is in this repository; nil if it is in another or has none.
    func tag(of image: Image) -> String? {
        guard let reference = try? ImageReference(image.name), reference.registry == normalized.registry,
            reference.repository == normalized.repository
        else { return nil }
        return reference.tag
    }
}
