public import AgentCore

/// The network backend that provides none.
public enum NoNetworkPlugin {
    /// As in the configuration.
    public static let name = "none"

    /// Needs nothing.
    public static let providers = ProviderSet("network none") {
        provide(NoNetwork.init)
        bind((any NetworkBackend).self) { (backend: NoNetwork) in backend }
    }
}
