public import AgentCore

/// Instances on a bridge behind iptables, with dnsmasq for DHCP and DNS.
public enum BridgeNetworkPlugin {
    /// As in the configuration.
    public static let name = "bridge"

    /// Needs a ``BridgeConfiguration``, a `ProcessSupervisor` and a `Logger`.
    public static let providers = ProviderSet("network bridge") {
        provide(BridgeNetwork.init(configuration:supervisor:logger:), cleanup: { await $0.release() })
        bind((any NetworkBackend).self) { (backend: BridgeNetwork) in backend }
    }
}
