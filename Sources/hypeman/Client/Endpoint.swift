import AgentAPI

/// Where the agent is.
struct Endpoint: Sendable, Hashable {
    enum Transport: Sendable, Hashable {
        case socket(path: String)
        case network(host: String, port: Int, isSecure: Bool)
    }

    static let defaultSocket = "/run/hypeman/agent.sock"

    var transport: Transport
    /// Before every path, without a slash at its end.
    var prefix: String
    /// Sent as a bearer token.
    var token: String?

    /// Reads `HYPEMAN_BASE_URL`, `HYPEMAN_API_KEY` and `HYPEMAN_SOCKET`.
    init(environment: [String: String]) throws {
        token = environment["HYPEMAN_API_KEY"].flatMap { $0.isEmpty ? nil : $0 }
        guard let base = environment["HYPEMAN_BASE_URL"], !base.isEmpty else {
            let path = environment["HYPEMAN_SOCKET"].flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultSocket
            transport = .socket(path: path)
            prefix = ""
            return
        }
        (transport, prefix) = try Self.parse(base)
    }

    /// What a request's URL is for the HTTP client; `path` is percent-encoded already.
    func url(_ path: String) -> String {
        switch transport {
        case .socket(let socket): "http+unix://\(PercentEncoding.encode(socket))\(prefix)\(path)"
        case .network(let host, let port, let isSecure):
            "\(isSecure ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)\(prefix)\(path)"
        }
    }

    /// For the Host header.
    var authority: String {
        switch transport {
        case .socket: "localhost"
        case .network(let host, let port, _): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    private static func parse(_ text: String) throws -> (Transport, String) {
        let invalid = CommandError(
            "HYPEMAN_BASE_URL '\(text.prefix(200))' is not an agent's address",
            remedy: "write http://HOST:PORT, https://HOST:PORT or unix:///PATH",
            exitCode: ExitStatus.ownFailure
        )
        guard let separator = text.firstRange(of: "://") else { throw invalid }
        let scheme = text[..<separator.lowerBound].lowercased()
        let rest = text[separator.upperBound...]
        if scheme == "unix" {
            guard rest.hasPrefix("/") else { throw invalid }
            return (.socket(path: String(rest)), "")
        }
        guard scheme == "http" || scheme == "https" else { throw invalid }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var prefix = rest[slash...]
        while prefix.hasSuffix("/") { prefix.removeLast() }
        let authority = rest[..<slash]
        guard !authority.contains("@"), !authority.contains("?") else { throw invalid }
        var host = authority
        var port = scheme == "https" ? 443 : 80
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            guard let number = Int(authority[authority.index(after: colon)...]), (1...65_535).contains(number) else {
                throw invalid
            }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { throw invalid }
        return (.network(host: String(host), port: port, isSecure: scheme == "https"), String(prefix))
    }
}
