import AgentCore

/// What an agent's composition root takes in: the set binds AgentCore's port and needs a ``TapPool``.
public enum TapPoolPlugin {
    public static let name = "tap-pool"

    public static let providers = ProviderSet(name) {
        provide(TapPoolNetwork.init)
        bind((any NetworkBackend).self) { (it: TapPoolNetwork) in it }
    }
}
