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
    }

    private struct Grant {
        var header: String
        var expires: ContinuousClock.Instant
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

    private let credentials: DockerCredentials
    private let grants = Mutex<[Key: Grant]>([:])

    init(credentials: DockerCredentials) { self.credentials = credentials }

    /// A header that worked before and should still.
    func known(for request: RegistryTransport.Request) -> String? {
        let key = Key(endpoint: request.endpoint, repository: request.repository)
        return grants.withLock { grants in
            guard let grant = grants[key], grant.expires > .now else {
                grants[key] = nil
                return nil
            }
            return grant.header
        }
    }

    /// Answers a challenge; nil if there are no credentials for it.
    func authorize(
        _ request: RegistryTransport.Request,
        challenge: AuthenticationChallenge,
        client: HTTPClient
    ) async throws -> String? {
        let found = try await credentials.credentials(for: request.endpoint.registry)
        let grant: Grant
        switch challenge {
        case .basic:
            guard case .password(let user, let password)? = found else { return nil }
            grant = Grant(header: Self.basic(user, password), expires: .now + .seconds(300))
        case .bearer(let realm, let service, let scope):
            grant = try await token(
                request,
                realm: realm,
                service: service,
                scope: scope ?? "repository:\(request.repository):pull",
                credentials: found,
                client: client
            )
        }
        grants.withLock { $0[Key(endpoint: request.endpoint, repository: request.repository)] = grant }
        return grant.header
    }

    private func token(
        _ request: RegistryTransport.Request,
        realm: String,
        service: String?,
        scope: String,
        credentials: RegistryCredentials?,
        client: HTTPClient
    ) async throws -> Grant {
        let registry = request.endpoint.registry
        guard let url = RegistryURL(realm), url.scheme == "https" || !request.endpoint.isSecure else {
            throw AgentError(
                .unavailable,
                code: "insecure_token_service",
                "\(registry) names a token service without TLS"
            )
        }
        guard var components = URLComponents(string: url.text) else {
            throw AgentError(.unavailable, code: "registry_unavailable", "\(registry) names no valid token service")
        }
        var fields =
            (service.map { [URLQueryItem(name: "service", value: $0)] } ?? []) + [
                URLQueryItem(name: "scope", value: scope)
            ]
        var http = HTTPClientRequest(url: "")
        switch credentials {
        case .identityToken(let identity):
            fields += [
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
            components.queryItems = (components.queryItems ?? []) + fields
        case nil: components.queryItems = (components.queryItems ?? []) + fields
        }
        http.url = components.string ?? url.text
        let response = try await client.execute(http, timeout: .seconds(30))
        let body = [UInt8](buffer: try await response.body.collect(upTo: 1 << 20))
        guard response.status == .ok else {
            throw RegistryFailure(
                status: response.status,
                headers: response.headers,
                body: "",
                what: "a token for \(request.repository)",
                registry: registry
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
            expires: .now + .seconds(max(1, min(answer.expiresIn ?? 60, 3600) - 10))
        )
    }

    private static func basic(_ user: String, _ password: String) -> String {
        "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
    }
}
