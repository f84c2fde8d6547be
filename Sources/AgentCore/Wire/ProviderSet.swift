/// A named group of providers, as one plugin or module contributes them.
public struct ProviderSet: Sendable {
    /// Shown in diagnostics beside the providers of the set.
    public let name: String
    let providers: [Provider]

    /// Groups providers and other sets under `name`.
    public init(_ name: String, @ProviderSetBuilder _ content: () -> [Provider]) {
        self.name = name
        self.providers = content().map { provider in
            var provider = provider
            provider.origin.append(name)
            return provider
        }
    }
}

/// Lets a ``Graph`` or ``ProviderSet`` be written as a list of providers and sets, with `if` and `for`.
@resultBuilder
public enum ProviderSetBuilder {
    public static func buildExpression(_ provider: Provider) -> [Provider] { [provider] }
    public static func buildExpression(_ set: ProviderSet) -> [Provider] { set.providers }
    public static func buildBlock(_ parts: [Provider]...) -> [Provider] { parts.flatMap(\.self) }
    public static func buildOptional(_ part: [Provider]?) -> [Provider] { part ?? [] }
    public static func buildEither(first: [Provider]) -> [Provider] { first }
    public static func buildEither(second: [Provider]) -> [Provider] { second }
    public static func buildArray(_ parts: [[Provider]]) -> [Provider] { parts.flatMap(\.self) }
}
