/// Which proxy a connection goes through, as the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
public struct ProxyConfiguration: Sendable, Hashable {
    /// A proxy that is spoken to in plain HTTP and asked for tunnels (`CONNECT`, RFC 9110, 9.3.6).
    public struct Proxy: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
        public let host: String
        public let port: Int
        public let user: String?
        public let password: String?

        /// Reads `http://user:password@host:port`, where all but the host may be missing.
        ///
        /// User and password are percent-decoded.
        ///
        /// - Returns: nil for another scheme, a path, or anything else.
        public init?(_ text: String) {
            var rest = text[...]
            if let end = rest.firstRange(of: "://") {
                guard rest[..<end.lowerBound].lowercased() == "http" else { return nil }
                rest = rest[end.upperBound...]
            }
            if rest.last == "/" { rest.removeLast() }
            var login: [String] = []
            if let at = rest.lastIndex(of: "@") {
                for part in rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false) {
                    guard let decoded = Self.decode(part) else { return nil }
                    login.append(decoded)
                }
                rest = rest[rest.index(after: at)...]
            }
            guard let authority = HostAndPort(rest) else { return nil }
            host = authority.host
            port = authority.port ?? 80
            user = login.first
            password = login.count > 1 ? login[1] : login.first.map { _ in "" }
        }

        /// Without user and password.
        public var description: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
        public var debugDescription: String { description }
        public var customMirror: Mirror { Mirror(self, children: ["host": host, "port": port]) }

        private static func decode(_ text: Substring) -> String? {
            var bytes: [UInt8] = []
            var rest = text.utf8
            while let byte = rest.popFirst() {
                guard byte == UInt8(ascii: "%") else {
                    bytes.append(byte)
                    continue
                }
                guard let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
                bytes.append(code)
                rest = rest.dropFirst(2)
            }
            return String(validating: bytes, as: UTF8.self)
        }
    }

    /// For `http` and `https` targets.
    public var http: Proxy?
    public var https: Proxy?
    public var exceptions: [ProxyException]

    public init(http: Proxy? = nil, https: Proxy? = nil, exceptions: [ProxyException] = []) {
        self.http = http
        self.https = https
        self.exceptions = exceptions
    }

    /// The proxy for a target; nil for none.
    ///
    /// This host itself is never reached through a proxy.
    public func proxy(isSecure: Bool, host: String, port: Int) -> Proxy? {
        guard let proxy = isSecure ? https : http else { return nil }
        let host = host.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") || IPAddress(host)?.isLoopback == true { return nil }
        return exceptions.contains { $0.matches(host, port: port) } ? nil : proxy
    }
}

/// An entry of `NO_PROXY`.
public struct ProxyException: Sendable, Hashable {
    private enum Target: Hashable {
        case everything
        /// A domain and, where `includesItself`, its own name.
        case domain(String, includesItself: Bool)
        case addresses(IPAddress, prefixLength: Int)
    }

    private let target: Target
    private let port: Int?

    /// Reads `*`, `example.com` (and all below it), `.example.com` or `*.example.com` (only what is below it), an IP
    /// address or a block of them, each but the block also with `:port`.
    public init?(_ text: String) {
        guard text != "*" else {
            target = .everything
            port = nil
            return
        }
        if let slash = text.firstIndex(of: "/") {
            guard let address = IPAddress(text[..<slash]), let length = Int(text[text.index(after: slash)...]),
                (0...address.bytes.count * 8).contains(length)
            else { return nil }
            target = .addresses(address, prefixLength: length)
            port = nil
            return
        }
        if let address = IPAddress(text) {
            target = .addresses(address, prefixLength: address.bytes.count * 8)
            port = nil
            return
        }
        var rest = text[...]
        if rest.hasPrefix("*.") { rest.removeFirst() }
        let isBelow = rest.first == "."
        if isBelow { rest.removeFirst() }
        guard let authority = HostAndPort(rest) else { return nil }
        port = authority.port
        if let address = IPAddress(authority.host) {
            guard !isBelow else { return nil }
            target = .addresses(address, prefixLength: address.bytes.count * 8)
        } else {
            target = .domain(authority.host.lowercased(), includesItself: !isBelow)
        }
    }

    /// - Parameters:
    ///   - host: In lower case.
    ///   - port: Of the target.
    /// - Returns: Whether it goes without a proxy.
    func matches(_ host: String, port: Int) -> Bool {
        if let own = self.port, own != port { return false }
        switch target {
        case .everything: return true
        case .domain(let domain, let includesItself):
            return includesItself && host == domain || host.hasSuffix(".\(domain)")
        case .addresses(let base, let length): return IPAddress(host)?.isIn(base, prefixLength: length) ?? false
        }
    }
}

/// `host`, `host:port`, `[address]:port`.
private struct HostAndPort {
    var host: String
    var port: Int?

    init?(_ text: Substring) {
        var rest = text
        if rest.first == "[" {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            guard IPAddress(host) != nil else { return nil }
            rest = rest[rest.index(after: end)...]
        } else {
            let name = rest.prefix { $0 != ":" }
            guard !name.isEmpty, name.utf8.count <= 253,
                name.utf8.allSatisfy({
                    (97...122).contains($0 | 32) || (48...57).contains($0) || [45, 46, 95].contains($0)
                })
            else { return nil }
            host = String(name)
            rest = rest[name.endIndex...]
        }
        guard !rest.isEmpty else { return }
        guard rest.removeFirst() == ":", let number = UInt16(rest), number > 0 else { return nil }
        port = Int(number)
    }
}
