import Glibc
public import GuestProtocol

/// The files that say who and where a guest is.
///
/// Names are the host's to give: what the image has is replaced, symbolic links included.
public struct NetworkFiles: Sendable {
    private static let (hostsPath, hostnamePath, resolverPath) = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    /// All of them, whether or not they are written.
    static let paths: Set<String> = [hostsPath, hostnamePath, resolverPath]

    private let configuration: GuestConfiguration

    public init(_ configuration: GuestConfiguration) {
        self.configuration = configuration
    }

    /// hosts(5): the guest's own name leads to its address also where no name server does; the full name comes first, as
    /// it is the canonical one (`hostname -f`).
    var hosts: String {
        let name = configuration.hostname
        let full = configuration.network?.searchDomains.first.map { "\(name).\($0) " } ?? ""
        return """
            127.0.0.1\tlocalhost
            ::1\tlocalhost ip6-localhost ip6-loopback
            ff02::1\tip6-allnodes
            ff02::2\tip6-allrouters
            \(configuration.network?.address ?? "127.0.1.1")\t\(full)\(name)

            """
    }

    /// resolv.conf(5); nil where there is nothing to say.
    var resolver: String? {
        guard let network = configuration.network, !network.nameServers.isEmpty else { return nil }
        let search = network.searchDomains.isEmpty ? "" : "search \(network.searchDomains.joined(separator: " "))\n"
        return search + network.nameServers.map { "nameserver \($0)\n" }.joined()
    }

    /// Writes them below `root`, which has no slash at its end.
    ///
    /// - Returns: The files that could not be written, with a negated errno; the others are.
    public func write(below root: String = "") -> [(path: String, error: Int32)] {
        // An image may be one program and nothing else.
        mkdir("\(root)/etc", 0o755)
        let files = [
            (root + Self.hostsPath, hosts), (root + Self.hostnamePath, configuration.hostname + "\n"),
            (root + Self.resolverPath, resolver),
        ]
        return files.compactMap { path, text in
            guard let text else { return nil }
            let result = SmallFile.replace(path, with: text)
            return result == 0 ? nil : (path, result)
        }
    }
}
