import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// Requests to registries: authorised, redirected and tried again as needed.
struct RegistryTransport {
    /// What is asked for.
    struct Request {
        var endpoint: RegistryEndpoint
        var repository: String
        var url: String
        /// For messages.
        var what: String
        var accept: [String] = []
        /// The first byte that is wanted.
        var offset = 0
        /// For the whole answer; parts of it have the client's read timeout.
        var timeout: TimeAmount = .seconds(60)
    }

    static let attempts = 4
    private static let maximumRedirects = 5
    /// A registry that wants to be left alone for longer is reported instead.
    private static let longestWait = Duration.seconds(30)

    let client: HTTPClient
    let authenticator: RegistryAuthenticator
    let insecureRegistries: Set<String>

    init(client: HTTPClient, authenticator: RegistryAuthenticator, insecureRegistries: Set<String>) {
        self.client = client
        self.authenticator = authenticator
        self.insecureRegistries = insecureRegistries
    }

    /// The whole of a small document, and the headers that came with it.
    func document(_ request: Request) async throws -> (bytes: [UInt8], headers: HTTPHeaders) {
        try await retrying(request) {
            let response = try await self.open(request)
            return ([UInt8](buffer: try await response.body.collect(upTo: OCI.maximumDocument)), response.headers)
        }
    }

    /// Does `body` again after failures that may pass, with growing pauses.
    func retrying<T>(_ request: Request, _ body: () async throws -> T) async throws -> T {
        var pause = Duration.milliseconds(500)
        for attempt in 1... {
            do {
                return try await body()
            } catch {
                let failure = RegistryFailure(error, what: request.what, registry: request.endpoint.registry)
                let wait = failure.retryAfter ?? pause
                guard failure.isPassing, attempt < Self.attempts, wait <= Self.longestWait else { throw failure.error }
                do {
                    // Spread, so that several layers don't come back at once.
                    try await Task.sleep(for: wait + wait * Double.random(in: 0...0.25))
                } catch {
                    throw RegistryFailure(error, what: request.what, registry: request.endpoint.registry).error
                }
                pause *= 2
            }
        }
        throw AgentError(.internal, "unreachable: the last attempt returns or throws")
    }

    /// One try at an answer with a body.
    func open(_ request: Request) async throws -> HTTPClientResponse {
        var authorization = authenticator.known(for: request)
        var isRenewed = false
        while true {
            let response = try await follow(request, authorization: authorization)
            if response.status == .ok || response.status == .partialContent { return response }
            // Read once, and also where it is not needed: what is left of it would keep the connection from the next request.
            let explanation = await Self.explanation(response)
            if response.status == .unauthorized, !isRenewed,
                let challenge = AuthenticationChallenge(headers: response.headers["www-authenticate"])
            {
                isRenewed = true
                authorization = try await authenticator.authorize(request, challenge: challenge, client: client)
                if authorization != nil { continue }
            }
            throw RegistryFailure(
                status: response.status,
                headers: response.headers,
                body: explanation,
                what: request.what,
                registry: request.endpoint.registry
            )
        }
    }

    private func follow(_ request: Request, authorization: String?) async throws -> HTTPClientResponse {
        var url = request.url
        var isOwnHost = true
        for _ in 0...Self.maximumRedirects {
            var http = HTTPClientRequest(url: url)
            for type in request.accept { http.headers.add(name: "Accept", value: type) }
            http.headers.add(name: "User-Agent", value: "hypeman-agent")
            if request.offset > 0 { http.headers.add(name: "Range", value: "bytes=\(request.offset)-") }
            // Storage that a registry sends us to must not see its credentials.
            if isOwnHost, let authorization { http.headers.add(name: "Authorization", value: authorization) }
            let response = try await client.execute(http, timeout: request.timeout)
            guard [301, 302, 303, 307, 308].contains(response.status.code),
                let location = response.headers.first(name: "location")
            else {
                return response
            }
            guard let next = RegistryURL(location, relativeTo: url), let origin = RegistryURL(request.url) else {
                throw AgentError(
                    .unavailable,
                    code: "registry_unavailable",
                    "\(request.endpoint.registry) redirects to no valid address"
                )
            }
            guard next.scheme == "https" || insecureRegistries.contains(next.authority) || !request.endpoint.isSecure
            else {
                throw AgentError(
                    .unavailable,
                    code: "insecure_redirect",
                    "\(request.endpoint.registry) redirects to \(next.authority) without TLS"
                )
            }
            isOwnHost = next.origin == origin.origin
            url = next.text
        }
        throw AgentError(
            .unavailable,
            code: "registry_unavailable",
            "\(request.endpoint.registry) redirects in a circle for \(request.what)"
        )
    }

    /// What the registry says about an error, bounded: the messages of its JSON if it is that.
    private static func explanation(_ response: HTTPClientResponse) async -> String {
        struct Errors: Decodable {
            struct Entry: Decodable {
                var code: String?
                var message: String?
            }
            var errors: [Entry]
        }
        guard let body = try? await response.body.collect(upTo: 64 << 10),
            let errors = try? OCI.decode(Errors.self, from: [UInt8](buffer: body), what: "")
        else { return "" }
        return String(errors.errors.compactMap { $0.message ?? $0.code }.joined(separator: "; ").prefix(500))
    }
}
