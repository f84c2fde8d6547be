import Foundation

/// The parts of an http or https URL that decide who may see what.
struct RegistryURL {
    let text: String
    let scheme: String
    /// Host, and port unless it is the scheme's own.
    let authority: String

    /// Scheme, host and port.
    var origin: String { "\(scheme)://\(authority)" }

    init?(_ text: String, relativeTo base: String? = nil) {
        guard let url = URL(string: text, relativeTo: base.flatMap { URL(string: $0) })?.absoluteURL,
            let scheme = url.scheme?.lowercased(), scheme == "https" || scheme == "http",
            let host = url.host?.lowercased(), !host.isEmpty
        else { return nil }
        self.text = url.absoluteString
        self.scheme = scheme
        let ownPort = scheme == "https" ? 443 : 80
        authority = url.port.map { $0 == ownPort ? host : "\(host):\($0)" } ?? host
    }
}
