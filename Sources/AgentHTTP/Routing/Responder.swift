import AgentAPI
import AgentCore
import Foundation
import HTTPTypes
import HummingbirdCore
import Logging

/// Answers requests: finds the route, asks who it is, calls the handler, and makes every failure a JSON error.
struct Responder: Sendable {
    /// Bytes of an unwanted body that are read and thrown away so that its sender sees the answer.
    private static let discardLimit = 4 << 20

    let routes: RouteTable
    let registry: RegistryEndpoint
    let authenticator: Authenticator
    let logger: Logger

    /// Answers one request.
    ///
    /// - Throws: When the connection is of no more use.
    func respond(to request: Request, from peer: Peer, writer: consuming ResponseWriter) async throws {
        let start = ContinuousClock.now
        let id = Self.requestID(request.headers[.xRequestID])
        var logger = logger
        logger[metadataKey: "request_id"] = "\(id)"
        let body = BodySource(request)
        let isForRegistry = RegistryTarget.covers(request.head.path ?? "")

        var response: Response
        do {
            let answer =
                isForRegistry
                ? try await registry.prepare(request, peer, body, logger)
                : try await prepare(request, peer, body, logger)
            if request.headers[.expect]?.lowercased() == "100-continue", !body.isAtEnd {
                try await writer.writeInformationalHead(HTTPResponse(status: .continue))
            }
            response = try await answer()
        } catch {
            response =
                isForRegistry
                ? RegistryError.response(to: error, logger: logger) : Self.response(to: error, logger: logger)
        }
        if isForRegistry { response.headers[.dockerDistributionAPIVersion] = "registry/2.0" }
        response.headers[.xRequestID] = id
        response.headers[.date] = HTTPDate.now
        if request.method == .head { response = response.createHeadResponse() }
        // A body that nobody wanted stands between this answer and the next request. A client that sends a small one
        // reads the answer only afterwards; one that waits for leave to send has been given none.
        if !body.isAtEnd, request.headers[.expect] == nil, body.announcedLength != nil {
            _ = await body.discard(upTo: Self.discardLimit)
        }
        let mustClose = !body.isAtEnd
        if mustClose, response.status.code >= 400 { response.headers[.connection] = "close" }
        logger.debug(
            "request",
            metadata: [
                "method": "\(request.method)", "path": "\((request.head.path ?? "").prefix(200))",
                "peer": "\(peer.description)",
                "status": "\(response.status.code)", "took": "\(ContinuousClock.now - start)",
            ]
        )
        try await writer.write(response: response.head, body: response.body)
        if mustClose, await !body.discard(upTo: Self.discardLimit) { throw CancellationError() }
    }

    /// What a request may open a WebSocket for, before there is one: nil means that the plain answer explains why not.
    func admitsSession(_ uri: String, from peer: Peer, authorization: String?) async -> SessionTarget? {
        guard let target = try? RequestTarget(uri), let (route, parameters) = try? routes.find(.get, target.segments),
            let session = SessionTarget(route, parameters, target.query),
            let identity = try? await authenticator.identify(peer, authorization: authorization),
            identity.allows(route.access)
        else { return nil }
        return session
    }

    /// What a request that was admitted is for.
    func session(_ uri: String) -> SessionTarget? {
        guard let target = try? RequestTarget(uri), let (route, parameters) = try? routes.find(.get, target.segments)
        else { return nil }
        return SessionTarget(route, parameters, target.query)
    }

    private func prepare(
        _ request: Request,
        _ peer: Peer,
        _ body: BodySource,
        _ logger: Logger
    ) async throws -> @Sendable () async throws -> Response {
        let target = try RequestTarget(request.head.path ?? "")
        let found = Result { () throws(TransportError) in try routes.find(request.method, target.segments) }
        // Who may not come in learns nothing of what there is; what is open needs no token.
        var identity: Identity?
        if case .success((let route, _)) = found, route.access == .open {
            identity = nil
        } else {
            identity = try await authenticator.identify(peer, authorization: request.headers[.authorization])
        }
        let (route, parameters) = try found.get()
        if let scope = identity?.missing(for: route.access) {
            throw AgentError(.permissionDenied, "this token lacks the permission '\(scope)'")
        }
        try Self.negotiate(request, route, body)
        var logger = logger
        if let identity { logger[metadataKey: "subject"] = "\(identity.subject.prefix(100))" }
        let call = Call(
            parameters: parameters,
            query: target.query,
            headers: request.headers,
            identity: identity,
            body: body,
            logger: logger
        )
        return { try await route.handler(call) }
    }

    private static func negotiate(_ request: Request, _ route: Route, _ body: BodySource) throws(TransportError) {
        if let accept = request.headers[.accept], !MediaRange.list(accept, allows: route.produces.rawValue),
            // An error is JSON whatever was asked for, so a client that takes JSON is served too.
            !(route.produces == .events && MediaRange.list(accept, allows: Route.Media.json.rawValue))
        {
            throw .notAcceptable(route.produces.rawValue)
        }
        guard route.consumes == .json, !body.isAtEnd, let type = request.headers[.contentType] else { return }
        let essence = type.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        guard essence == "application/json" || essence.hasSuffix("+json") else {
            throw .unsupportedMediaType("application/json", got: essence)
        }
    }

    /// The answer to a failure; what the client is not told is in the log.
    static func response(to error: any Error, logger: Logger) -> Response {
        switch error {
        case let error as TransportError:
            return .error(
                ErrorResponse(code: error.code, message: error.message),
                status: error.status,
                headers: error.headers
            )
        case let error as FieldError:
            return response(to: error.agentError, logger: logger)
        case is CancellationError:
            return response(to: AgentError(.cancelled, "the request was cancelled"), logger: logger)
        case let error as AgentError:
            if error.kind == .internal { logger.error("request failed", metadata: ["error": "\(error)"]) }
            var headers = HTTPFields()
            if error.kind == .unauthenticated { headers[.wwwAuthenticate] = "Bearer" }
            if error.kind == .rateLimited { headers[.retryAfter] = "60" }
            return .error(error.response, status: error.status, headers: headers)
        default:
            logger.error("request failed", metadata: ["error": "\(error)"])
            return .error(
                ErrorResponse(code: "internal_error", message: "the agent failed; its log says more"),
                status: .internalServerError
            )
        }
    }

    /// The client's own request id if it is harmless, else a new one.
    private static func requestID(_ given: String?) -> String {
        if let given, (1...64).contains(given.utf8.count),
            given.utf8.allSatisfy({
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45
            })
        {
            return given
        }
        return String(UInt64.random(in: .min ... .max), radix: 16)
    }
}

/// A media range of an Accept header (RFC 9110, 12.5.1).
enum MediaRange {
    /// Whether a header allows a type; parameters other than `q=0` are not looked at.
    static func list(_ header: String, allows type: String) -> Bool {
        let noun = type.prefix { $0 != "/" }
        return header.split(separator: ",").contains { item in
            let parts = item.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
            guard let range = parts.first, range == "*/*" || range == "\(noun)/*" || range == type else { return false }
            return !parts.dropFirst().contains { parameter in
                parameter.hasPrefix("q=") && Double(parameter.dropFirst(2)) == 0
            }
        }
    }
}
