import AgentAPI
import AgentCore
import Foundation

extension RegistryCredentials {
    /// What a request's `X-Registry-Auth` says; nil where there is none, or one without any credentials (`{}`).
    ///
    /// - Throws: ``AgentError`` `invalidArgument` `invalid_registry_auth`, which never repeats what the header contains.
    init?(header: String?, for reference: ImageReference) throws(AgentError) {
        guard let header, !header.isEmpty else { return nil }
        func invalid(_ why: String) -> AgentError {
            AgentError(.invalidArgument, code: "invalid_registry_auth", "the header \(RegistryLogin.header) \(why)")
        }
        guard let login = RegistryLogin(headerValue: header) else {
            throw invalid("must be a JSON object of Docker's form in base64url")
        }
        if let server = login.serverAddress, !server.isEmpty, Self.registry(server) != reference.registry {
            // Else a client that mixes up its logins would give one registry's password to another.
            throw invalid("is for another registry than \(reference.registry), which has the image")
        }
        if let token = login.identityToken, !token.isEmpty {
            self = .identityToken(token)
        } else if let token = login.registryToken, !token.isEmpty {
            self = .registryToken(token)
        } else if let user = login.username, !user.isEmpty {
            self = .password(user: user, password: login.password ?? "")
        } else if let auth = login.auth, !auth.isEmpty {
            guard let data = Data(base64Encoded: auth), let text = String(data: data, encoding: .utf8),
                let colon = text.firstIndex(of: ":")
            else { throw invalid("has an 'auth' that is not 'user:password' in base64") }
            self = .password(user: String(text[..<colon]), password: String(text[text.index(after: colon)...]))
        } else {
            return nil
        }
        if let fault { throw invalid(fault) }
    }

    /// The registry of a server's address, which may be a URL (`https://index.docker.io/v1/`).
    private static func registry(_ server: String) -> String {
        let rest = server.firstRange(of: "://").map { server[$0.upperBound...] } ?? server[...]
        let host = String(rest.prefix { $0 != "/" })
        return ["index.docker.io", "registry-1.docker.io"].contains(host) ? "docker.io" : host
    }
}
