import AgentCore
import JWTKit
import Logging

#if canImport(Glibc)
import Glibc
#else
import Musl
#endif

/// Finds out who makes a request.
struct Authenticator: Sendable {
    private let keys: JWTKeyCollection?
    private let limiter: FailureLimiter
    private let socketGroup: UInt32?
    private let ownUser: UInt32

    /// Prepares for a configuration.
    ///
    /// - Parameters:
    ///   - secret: What tokens are signed with; nil refuses every request from a network.
    ///   - socketGroup: As in ``HTTPConfiguration/socketGroup``.
    ///   - limiter: Counts failures.
    init(secret: String?, socketGroup: UInt32?, limiter: FailureLimiter) async {
        if let secret, !secret.isEmpty {
            let keys = JWTKeyCollection()
            await keys.add(hmac: HMACKey(secret: secret), digestAlgorithm: .sha256)
            self.keys = keys
        } else {
            self.keys = nil
        }
        self.limiter = limiter
        self.socketGroup = socketGroup
        self.ownUser = geteuid()
    }

    /// The identity behind a request.
    ///
    /// - Parameters:
    ///   - peer: The other end of the connection.
    ///   - authorization: The `Authorization` header.
    /// - Returns: Who it is.
    /// - Throws: `unauthenticated`, `permissionDenied` for a local user, `rateLimited`.
    func identify(_ peer: Peer, authorization: String?) async throws(AgentError) -> Identity {
        switch peer {
        case .process(let user, _, _):
            // A socket with a group has mode 0660: the kernel let only root, the owner and the group's members connect.
            guard user == 0 || user == ownUser || socketGroup != nil else {
                throw AgentError(
                    .permissionDenied,
                    "user \(user) may not use this socket: be root, or a member of the group that the agent's "
                        + "configuration names"
                )
            }
            return Identity(subject: "uid:\(user)", permissions: nil)
        case .network(let address):
            if let delay = limiter.delay(for: address) {
                throw AgentError(
                    .rateLimited,
                    code: "too_many_failures",
                    "too many requests from \(address) without a valid token: try again in \(delay.components.seconds + 1) s"
                )
            }
            do {
                return try await verify(authorization)
            } catch {
                limiter.recordFailure(of: address)
                throw error
            }
        }
    }

    private func verify(_ authorization: String?) async throws(AgentError) -> Identity {
        guard let authorization else {
            throw AgentError(
                .unauthenticated,
                "no token: send 'Authorization: Bearer TOKEN' (hypeman-agent gen-jwt makes one)"
            )
        }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer", let keys else {
            throw AgentError(.unauthenticated, "the Authorization header must be 'Bearer' and a token")
        }
        let claims: TokenClaims
        do {
            claims = try await keys.verify(String(parts[1]), as: TokenClaims.self)
        } catch let error as JWTError where error.errorType == .claimVerificationFailure {
            throw AgentError(
                .unauthenticated,
                code: "token_expired",
                "the token is expired or not valid yet: make a new one"
            )
        } catch {
            // Which part was wrong is no help to an honest client, and some to another.
            throw AgentError(
                .unauthenticated,
                "the token is not valid: it must be signed with this agent's secret (HS256) and have 'exp'"
            )
        }
        return Identity(subject: claims.sub?.value ?? "-", permissions: claims.permissions.map(Set.init))
    }
}
