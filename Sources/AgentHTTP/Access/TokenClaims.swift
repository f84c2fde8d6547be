import Foundation
import JWTKit

/// The claims of a token that the agent reads.
///
/// A token without `permissions` may do everything, as existing clients' tokens have none and were made for that; one
/// with an empty list may do nothing.
struct TokenClaims: JWTPayload {
    var sub: SubjectClaim?
    /// Required: a token that never ends cannot be taken back.
    var exp: ExpirationClaim
    var nbf: NotBeforeClaim?
    var iat: IssuedAtClaim?
    var permissions: [String]?

    func verify(using algorithm: some JWTAlgorithm) throws {
        try exp.verifyNotExpired()
        try nbf?.verifyNotBefore()
    }
}

/// Makes tokens, for `gen-jwt` and for tests.
public struct TokenIssuer: Sendable {
    private let secret: String

    public init(secret: String) { self.secret = secret }

    /// A token.
    ///
    /// - Parameters:
    ///   - subject: Who it is for; appears in the agent's log.
    ///   - permissions: Scopes such as `instance:read`, `image:*` or `*`; nil leaves the claim out, which means all.
    ///   - lifetime: From now on.
    /// - Returns: What follows `Bearer` in a request.
    /// - Throws: If it cannot be signed.
    public func token(subject: String, permissions: [String]? = nil, lifetime: Duration) async throws -> String {
        let keys = JWTKeyCollection()
        await keys.add(hmac: HMACKey(secret: secret), digestAlgorithm: .sha256)
        let now = Date()
        return try await keys.sign(
            TokenClaims(
                sub: SubjectClaim(value: subject),
                exp: ExpirationClaim(value: now.addingTimeInterval(Double(lifetime.components.seconds))),
                nbf: nil,
                iat: IssuedAtClaim(value: now),
                permissions: permissions
            )
        )
    }
}

extension HMACKey {
    /// The key that a secret is.
    ///
    /// JWTKit stops the process for keys shorter than a digest. HMAC itself fills a key with zeros up to the hash's block
    /// (RFC 2104, section 2), so a short one with zeros behind it is the same key; the server warns of it at the start.
    init(secret: String) {
        let bytes = Array(secret.utf8)
        self.init(from: bytes + [UInt8](repeating: 0, count: max(0, 32 - bytes.count)))
    }
}
