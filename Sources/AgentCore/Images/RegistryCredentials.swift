/// What a registry is shown to prove who asks.
///
/// Never part of a description, a log or what is stored.
public enum RegistryCredentials: Sendable, Hashable {
    case password(user: String, password: String)
    /// Stands for user and password; a token service changes it for a token (OAuth2's refresh token).
    case identityToken(String)
    /// What the registry itself takes as it is (a bearer token).
    case registryToken(String)
}

extension RegistryCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "credentials that are not shown" }
    public var debugDescription: String { description }
    /// Without children, so that neither `dump` nor an interpolation shows a secret.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
