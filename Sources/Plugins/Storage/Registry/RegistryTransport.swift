import AgentCore
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Synchronization

/// Requests to registries: authorised, redirected and tried again as needed.
struct RegistryTransport: Sendable {
    /// What is asked for.
    struct Request: Sendable {
        var endpoint: RegistryEndpoint
        /// As the endpoint knows it.
        var repository: String
        var url: String
        /// For messages.
        var what: String
        var accept: [String] = []
        /// The first byte that is wanted.
        var offset = 0
        /// For this request only; nil for those of Docker's configuration.
        var credentials: RegistryCredentials?
    }

    private static let maximumRedirects = 5
    /// A transfer that was brought forward by this much may fail again as often as at first.
    private static let noteworthyProgress = 1 << 20

    let connections: RegistryConnections
    let authenticator: RegistryAuthenticator
    let patience: RegistryPatience

    /// The whole of a small document, and the headers that came with it.
    func document(_ request: Request) async throws -> (bytes: [UInt8], headers: HTTPHeaders) {
        try await retrying(request) {
            let response = try await self.open(request)
            return (try await collect(response, upTo: OCI.maximumDocument), response.headers)
        }
    }

    /// The whole of a body.
    func collect(_ response: HTTPClientResponse, upTo limit: Int) async throws -> [UInt8] {
        let bytes = Mutex<[UInt8]>([])
        try await StallWatch.read(response.body, patience) { part in
            let count = bytes.withLock { bytes in
                bytes.append(contentsOf: part.readableBytesView)
                return bytes.count
            }
            guard count <= limit else { throw NIOTooManyBytesError(maxBytes: limit) }
        }
        return bytes.withLock { $0 }
    }

    /// Does `body` again after failures that may pass, with growing pauses.
    ///
    /// - Parameters:
    ///   - request: What it is about.
    ///   - progress: How far it is; a transfer that gets ahead is not given up.
    ///   - body: What is tried.
    /// - Returns: What `body` does.
    /// - Throws: ``AgentError``: the last failure.
    func retrying<T>(
        _ request: Request,
        progress: () -> Int = { 0 },
        _ body: () async throws -> T
    ) async throws -> T {
        // Who has another to ask does not insist.
        let attempts = request.endpoint.isMirror ? min(2, patience.attempts) : patience.attempts
        var (failures, pause, furthest) = (0, patience.pause, progress())
        while true {
            do {
                return try await body()
            } catch {
                let failure = RegistryFailure(error, request: request)
                if progress() >= furthest + Self.noteworthyProgress {
                    (failures, pause, furthest) = (0, patience.pause, progress())
                }
                failures += 1
                let asked = failure.retryAfter ?? .zero
                guard failure.isPassing, failures < attempts, asked <= patience.longestPause else {
                    throw failure.error
                }
                do {
                    // Spread, so that several layers, and several agents, don't come back at once.
                    try await Task.sleep(for: max(asked, pause) + pause * Double.random(in: 0...1))
                } catch {
                    throw RegistryFailure(error, request: request).error
                }
                pause = min(pause * 2, patience.longestPause)
            }
        }
    }

    /// One try at an answer with a body.
    ///
    /// - Returns: An answer with status 200 or, if only a part was asked for, 206 or 416.
    func open(_ request: Request) async throws -> HTTPClientResponse {
        var authorization = authenticator.known(for: request)
        var isRenewed = false
        while true {
            let response = try await follow(request, authorization: authorization)
            switch response.status {
            case .ok: return response
            case .partialContent, .rangeNotSatisfiable: if request.offset > 0 { return response }
            default: break
            }
            // Read once, and also where it is not needed: what is left of it would keep the connection from the next request.
            let explanation = await explanation(response)
            if response.status == .unauthorized, !isRenewed,
                let challenge = AuthenticationChallenge(headers: response.headers["www-authenticate"])
            {
                isRenewed = true
                authorization = try await authenticator.authorize(request, challenge: challenge, transport: self)
                if authorization != nil { continue }
            }
            throw RegistryFailure(
                status: response.status,
                headers: response.headers,
                body: explanation,
                request: request,
                isAuthorized: authorization != nil && authenticator.hasCredentials(for: request)
            )
        }
    }

    private func follow(_ request: Request, authorization: String?) async throws -> HTTPClientResponse {
        guard let origin = RegistryURL(request.url) else {
            throw AgentError(.invalidArgument, "\(request.url) is no valid address")
        }
        func refused(_ why: String, code: String = "registry_unavailable") -> AgentError {
            AgentError(.unavailable, code: code, "\(request.endpoint.registry) redirects \(why) for \(request.what)")
        }
        var url = origin
        var isOwnHost = true
        for _ in 0...Self.maximumRedirects {
            var http = HTTPClientRequest(url: url.text)
            for type in request.accept { http.headers.add(name: "Accept", value: type) }
            http.headers.add(name: "User-Agent", value: "hypeman-agent")
            if request.offset > 0 { http.headers.add(name: "Range", value: "bytes=\(request.offset)-") }
            // Storage that a registry sends us to must not see its credentials, nor whoever that sends us back.
            if isOwnHost, let authorization { http.headers.add(name: "Authorization", value: authorization) }
            let response = try await execute(http, to: url, for: request)
            guard [301, 302, 303, 307, 308].contains(response.status.code),
                let location = response.headers.first(name: "location")
            else { return response }
            guard let next = RegistryURL(location, relativeTo: url.text) else { throw refused("to no valid address") }
            guard next.isSecure || !url.isSecure else {
                throw refused("to \(next.authority) without TLS", code: "insecure_redirect")
            }
            isOwnHost = isOwnHost && next.origin == origin.origin
            url = next
        }
        throw refused("in a circle, or more than \(Self.maximumRedirects) times,")
    }

    /// One request to one server.
    ///
    /// - Throws: ``RegistryFailure``.
    func execute(
        _ http: HTTPClientRequest,
        to url: RegistryURL,
        for request: Request
    ) async throws -> HTTPClientResponse {
        do {
            return try await connections.client(for: url).execute(http, timeout: TimeAmount(patience.answer))
        } catch {
            if RegistryFailure.isRefusedCertificate(error), connections.proxy(for: url) == nil,
                let complaint = await CertificateProbe.complaint(about: url, timeout: patience.connect)
            {
                throw RegistryFailure(
                    AgentError(.unavailable, code: "tls_failed", complaint, cause: error),
                    isPassing: false
                )
            }
            throw RegistryFailure(error, request: request, target: url)
        }
    }

    /// What the registry says about an error, bounded: the messages of its JSON if it is that.
    private func explanation(_ response: HTTPClientResponse) async -> String {
        struct Errors: Decodable {
            struct Entry: Decodable {
                var code: String?
                var message: String?
            }
            var errors: [Entry]
        }
        guard let body = try? await collect(response, upTo: 64 << 10),
            let errors = try? OCI.decode(Errors.self, from: body, what: "")
        else { return "" }
        let text = errors.errors.compactMap { $0.message ?? $0.code }.joined(separator: "; ")
        // It goes to terminals and logs.
        return String(text.prefix(500).map { $0.isASCII && $0 < " " ? " " : $0 })
    }
}
