/// The name of an image, as Docker normalises it: `alpine` is `docker.io/library/alpine:latest`.
///
/// The grammar is that of the distribution project's reference package: `[registry[:port]/]path[:tag][@digest]`.
public struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// Host name and port of the registry.
    public let registry: String
    /// The path in the registry, with `library/` before the short names of Docker's own.
    public let repository: String
    /// The tag; `latest` where the name has neither tag nor digest, nil where it has only a digest.
    public let tag: String?
    /// The digest, which wins over the tag.
    public let digest: Digest?

    /// Parses `text`.
    ///
    /// - Throws: ``AgentError`` `invalid_name` that says which part is wrong.
    public init(_ text: String) throws(AgentError) {
        func invalid(_ why: String) -> AgentError {
            AgentError(.invalidArgument, code: "invalid_name", "image name '\(text.prefix(300))' is not valid: \(why)")
        }
        guard text.utf8.count <= 512 else { throw invalid("it is longer than 512 bytes") }
        var rest = text[...]
        var digest: Digest?
        if let at = rest.lastIndex(of: "@") {
            guard let parsed = Digest(rest[rest.index(after: at)...]) else {
                throw invalid("what follows '@' must be 'sha256:' and 64 hexadecimal digits")
            }
            digest = parsed
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            let parsed = rest[rest.index(after: colon)...]
            guard Self.isTag(parsed) else {
                throw invalid("a tag is 1 to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'")
            }
            tag = String(parsed)
            rest = rest[..<colon]
        }
        var registry = "docker.io"
        if let slash = rest.firstIndex(of: "/") {
            let first = rest[..<slash]
            if first.contains(where: { $0 == "." || $0 == ":" }) || first == "localhost"
                || first.contains(where: \.isUppercase)
            {
                guard Self.isHost(first) else { throw invalid("'\(first)' is not a registry's host name") }
                registry = String(first)
                rest = rest[rest.index(after: slash)...]
            }
        }
        if registry == "index.docker.io" { registry = "docker.io" }
        var repository = String(rest)
        if registry == "docker.io", !repository.contains("/") { repository = "library/" + repository }
        guard !rest.isEmpty else { throw invalid("it names no repository") }
        guard repository.utf8.count <= 255,
            repository.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(Self.isComponent)
        else {
            throw invalid(
                "a repository is lower-case letters and digits, with single '.', '_', '-' or '/' between them"
            )
        }
        self.registry = registry
        self.repository = repository
        self.tag = tag ?? (digest == nil ? "latest" : nil)
        self.digest = digest
    }

    /// The whole name: registry, repository, tag and digest.
    public var description: String {
        "\(registry)/\(repository)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    private static func isTag(_ text: Substring) -> Bool {
        (1...128).contains(text.utf8.count) && text.first != "." && text.first != "-"
            && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 95 || $0 == 46 || $0 == 45 }
    }

    private static func isHost(_ text: Substring) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first, !host.isEmpty else { return false }
        if parts.count == 2 {
            guard let port = UInt16(parts[1]), port > 0 else { return false }
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == 45 }
        }
    }

    /// Whether a part between slashes fits `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
    private static func isComponent(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, isLowerAlphanumeric(first),
            isLowerAlphanumeric(last)
        else { return false }
        return text.utf8.split(whereSeparator: isLowerAlphanumeric).allSatisfy { separator in
            separator.elementsEqual([46]) || separator.elementsEqual([95]) || separator.elementsEqual([95, 95])
                || separator.allSatisfy { $0 == 45 }
        }
    }

    private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte)
    }
    private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLowerAlphanumeric(byte) || (65...90).contains(byte) }
}
