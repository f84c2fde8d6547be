import Foundation

/// The parts of an http or https URL that decide who may see what.
struct RegistryURL {
    let text: String
    let scheme: String
    let host: String
    let port: Int
    /// Host, and port unless it is the scheme's own.
    let authority: String

    /// Scheme, host and port.
    var origin: String { "\(scheme)://\(authority)" }
    var isSecure: Bool { scheme == "https" }

    /// nil for another scheme, and for one with a user in it, which nobody who is honest sends.
    init?(_ text: String, relativeTo base: String? = nil) {
        guard let url = URL(string: text, relativeTo: base.flatMap { URL(string: $0) })?.absoluteURL,
            let scheme = url.scheme?.lowercased(), scheme == "https" || scheme == "http",
            let host = url.host?.lowercased(), !host.isEmpty, url.user == nil
        else { return nil }
        self.text = url.absoluteString
        self.scheme = scheme
        self.host = host
        let ownPort = scheme == "https" ? 443 : 80
        port = url.port ?? ownPort
        authority = port == ownPort ? host : "\(host):\(port)"
    }
}
