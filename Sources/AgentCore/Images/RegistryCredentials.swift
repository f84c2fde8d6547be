/// What a registry is shown to prove who asks.
///
/// Never part of a description, a log or what is stored.
public enum RegistryCredentials: Sendable, Hashable {
    case password(user: String, password: String)
    /// Stands for user and password; a token service changes it for a token (OAuth2's refresh token).
    case identityToken(String)
    /// What the registry itself takes as it is (a bearer token).
    case registryToken(String)

    /// What is wrong with them, as the end of a sentence; nil if a registry can be shown them.
    ///
    /// A colon ends the user's name in basic authentication (RFC 7617), and a token is visible ASCII (RFC 6750).
    public var fault: String? {
        switch self {
        case .password(let user, _) where user.isEmpty || user.contains(":"):
            "has a user name that is empty or has a colon"
        case .registryToken(let token) where token.isEmpty || !token.utf8.allSatisfy({ (33...126).contains($0) }):
            "has no valid token"
        case .identityToken(let token) where token.isEmpty: "has no valid token"
        default: nil
        }
    }
}

extension RegistryCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "credentials that are not shown" }
    public var debugDescription: String { description }
    /// Without children, so that neither `dump` nor an interpolation shows a secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
