import AgentCore
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// Gets and remembers the `Authorization` that registries want: basic, or a token for one repository (distribution's
/// token specification; OAuth2 for identity tokens).
final class RegistryAuthenticator: Sendable {
    private struct Key: Hashable {
        var endpoint: RegistryEndpoint
        var repository: String
        /// Whoever gives his own must not use, nor provide, the others' tokens.
        var credentials: RegistryCredentials?

        init(_ request: RegistryTransport.Request) {
            endpoint = request.endpoint
            repository = request.repository
            credentials = request.credentials
        }
    }

    private struct Grant {
        var header: String
        var expires: ContinuousClock.Instant
        /// Whether it was given for credentials, and not to just anybody.
        var isPersonal = true
    }

    private struct Answer: Decodable {
        var token: String?
        var accessToken: String?
        var expiresIn: Int?

        enum CodingKeys: String, CodingKey {
            case token
            case accessToken = "access_token"
            case expiresIn = "expires_in"
        }
    }

    /// More are forgotten, those first that last shortest.
    private static let maximumGrants = 256

    private let credentials: DockerCredentials
    private let grants = Mutex<[Key: Grant]>([:])

    init(credentials: DockerCredentials) { self.credentials = credentials }

    /// A header that worked before and should still.
    func known(for request: RegistryTransport.Request) -> String? { grant(for: request)?.header }

    /// Whether what ``known(for:)`` gives stands for somebody's credentials.
    func hasCredentials(for request: RegistryTransport.Request) -> Bool { grant(for: request)?.isPersonal ?? true }

    private func grant(for request: RegistryTransport.Request) -> Grant? {
        let key = Key(request)
        return grants.withLock { grants in
            guard let grant = grants[key], grant.expires > .now else {
                grants[key] = nil
                return nil
            }
            return grant
        }
    }

    private func remember(_ grant: Grant, for request: RegistryTransport.Request) {
        grants.withLock { grants in
            grants[Key(request)] = grant
            guard grants.count > Self.maximumGrants else { return }
            if let first = grants.min(by: { $0.value.expires < $1.value.expires }) { grants[first.key] = nil }
        }
    }

    /// Answers a challenge; nil if there are no credentials for it.
    func authorize(
        _ request: RegistryTransport.Request,
        challenge: AuthenticationChallenge,
        transport: RegistryTransport
    ) async throws -> String? {
        var found = request.credentials
        if found == nil { found = try await credentials.credentials(for: request.endpoint.registry) }
        let grant: Grant
        switch (challenge, found) {
        case (.basic, .password(let user, let password)):
            grant = Grant(header: Self.basic(user, password), expires: .now + .seconds(300))
        case (.basic, _): return nil
        case (.bearer, .registryToken(let token)):
            grant = Grant(header: "Bearer \(token)", expires: .now + .seconds(300))
        case (.bearer(let realm, let service, let scope), _):
            grant = try await token(
                request,
                realm: realm,
                service: service,
                scope: scope ?? "repository:\(request.repository):pull",
                credentials: found,
                transport: transport
            )
        }
        remember(grant, for: request)
        return grant.header
    }

    private func token(
        _ request: RegistryTransport.Request,
        realm: String,
        service: String?,
        scope: String,
        credentials: RegistryCredentials?,
        transport: RegistryTransport
    ) async throws -> Grant {
        let registry = request.endpoint.registry
        guard let url = RegistryURL(realm), url.isSecure || !request.endpoint.isSecure else {
            throw AgentError(
                .unavailable,
                code: "insecure_token_service",
                "\(registry) names a token service without TLS, which gets no credentials"
            )
        }
        guard var components = URLComponents(string: url.text) else {
            throw AgentError(.unavailable, code: "registry_unavailable", "\(registry) names no valid token service")
        }
        var fields = service.map { [URLQueryItem(name: "service", value: $0)] } ?? []
        // Several scopes are one value in OAuth2 (RFC 6749, 3.3), and several in distribution's own protocol.
        let scopes = scope.split(separator: " ").map { URLQueryItem(name: "scope", value: String($0)) }
        var http = HTTPClientRequest(url: "")
        switch credentials {
        case .identityToken(let identity):
            fields += [
                URLQueryItem(name: "scope", value: scope),
                URLQueryItem(name: "grant_type", value: "refresh_token"),
                URLQueryItem(name: "refresh_token", value: identity),
                URLQueryItem(name: "client_id", value: "hypeman-agent"),
            ]
            var form = URLComponents()
            form.queryItems = fields
            http.method = .POST
            http.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            // A plus would be read as a blank.
            http.body = .bytes(ByteBuffer(string: (form.percentEncodedQuery ?? "").replacing("+", with: "%2B")))
        case .password(let user, let password):
            http.headers.add(name: "Authorization", value: Self.basic(user, password))
            components.queryItems = (components.queryItems ?? []) + fields + scopes
        case .registryToken, nil: components.queryItems = (components.queryItems ?? []) + fields + scopes
        }
        http.url = components.string ?? url.text
        let response = try await transport.execute(http, to: url, for: request)
        let body = try await transport.collect(response, upTo: 1 << 20)
        guard response.status == .ok else {
            throw RegistryFailure(
                status: response.status,
                headers: response.headers,
                body: "its token service \(url.authority) says so",
                request: request,
                isAuthorized: credentials != nil
            )
        }
        let answer: Answer
        do {
            answer = try OCI.decode(Answer.self, from: body, what: "the token")
        } catch {
            throw AgentError(
                .unavailable,
                code: "registry_unavailable",
                "the token service of \(registry) gives no token",
                cause: error
            )
        }
        guard let token = answer.token ?? answer.accessToken, !token.isEmpty else {
            throw AgentError(
                .unavailable,
                code: "registry_unavailable",
                "the token service of \(registry) gives no token"
            )
        }
        // A minute where nothing is said (token specification); some seconds early, for clocks and requests under way.
        return Grant(
            header: "Bearer \(token)",
            expires: .now + .seconds(max(1, min(answer.expiresIn ?? 60, 3600) - 10)),
            isPersonal: credentials != nil
        )
    }

    private static func basic(_ user: String, _ password: String) -> String {
        "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
    }
}
