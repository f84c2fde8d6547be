import AgentCore
import HTTPTypes
import HummingbirdCore
import Logging

/// The agent as a registry to push images to: `/v2/*`, the OCI distribution specification 1.1.
///
/// It is apart from the agent's own routes, as its paths, its errors and its login are others'.
struct RegistryEndpoint: Sendable {
    let pushes: PushService
    let authenticator: Authenticator

    var uploads: any ImageUploads { pushes.uploads }

    /// A request that may be made.
    struct Call: Sendable {
        let query: Query
        let headers: HTTPFields
        let identity: Identity
        let body: BodySource
        let logger: Logger
    }

    /// Finds out who makes a request, and what would answer it.
    ///
    /// - Returns: What answers it.
    /// - Throws: ``RegistryError``, ``AgentError``, ``TransportError``.
    func prepare(
        _ request: Request,
        _ peer: Peer,
        _ body: BodySource,
        _ logger: Logger
    ) async throws -> @Sendable () async throws -> Response {
        // Who may not come in learns nothing of what there is.
        let identity = try await identify(peer, request.headers[.authorization])
        let path = try RequestTarget(request.head.path ?? "")
        let target = try RegistryTarget(path.segments)
        let methods = target.methods
        guard let scopes = methods[request.method] else {
            let allowed = methods.keys.map(\.rawValue).sorted().joined(separator: ", ")
            throw RegistryError(
                .unsupported,
                status: .methodNotAllowed,
                "this path allows \(allowed)",
                headers: [.allow: allowed]
            )
        }
        guard scopes.isEmpty || scopes.contains(where: { identity.allows(.scope($0)) }) else {
            let names = scopes.map(\.description).joined(separator: "' or '")
            throw AgentError(.permissionDenied, "this token lacks the permission '\(names)'")
        }
        var logger = logger
        logger[metadataKey: "subject"] = "\(identity.subject.prefix(100))"
        let call = Call(query: path.query, headers: request.headers, identity: identity, body: body, logger: logger)
        let method = request.method
        return { try await answer(method, target, call) }
    }

    private func identify(_ peer: Peer, _ authorization: String?) async throws(AgentError) -> Identity {
        // Every client begins without a token, to see how it is to log in: that is no failed try.
        if case .network = peer, authorization == nil {
            throw AgentError(
                .unauthenticated,
                "log in with any user name and a token as the password (hypeman-agent gen-jwt makes one)"
            )
        }
        return try await authenticator.identify(peer, authorization: authorization.map(BasicLogin.bearer))
    }

    private func answer(_ method: HTTPRequest.Method, _ target: RegistryTarget, _ call: Call) async throws -> Response {
        switch (target, method) {
        case (.base, _): return try .json([String: String]())
        case (.uploads(let name), _): return try await begin(name, call)
        case (.upload(let name, let id), .get): return try await status(name, try upload(id))
        case (.upload(let name, let id), .patch): return try await receive(name, try upload(id), call)
        case (.upload(let name, let id), .put): return try await finish(name, try upload(id), call)
        case (.upload(_, let id), _):
            try await uploads.cancel(try upload(id))
            return .empty
        case (.blob(_, let digest), .head): return try await look(try self.digest(digest), call)
        case (.blob(_, let digest), _): return try await read(try self.digest(digest), call)
        case (.manifest(let name, let reference), .put): return try await put(name, reference, call)
        case (.manifest(let name, let reference), .delete): return try await delete(name, reference)
        case (.manifest(let name, let reference), _): return try await get(name, reference)
        case (.tags(let name), _): return try tags(name, call)
        }
    }

    private func upload(_ id: String) throws -> UploadID {
        guard let upload = UploadID(id) else {
            throw RegistryError(.blobUploadUnknown, status: .notFound, "there is no upload '\(id.prefix(100))'")
        }
        return upload
    }

    func digest(_ text: String) throws -> Digest {
        guard let digest = Digest(text) else {
            throw RegistryError(.digestInvalid, "a digest is 'sha256:' and 64 lower-case hexadecimal digits")
        }
        return digest
    }
}
