public import AgentCore

/// The QEMU backend.
public enum QEMUPlugin {
    /// As in the configuration.
    public static let name = "qemu"

    /// Needs a ``QEMUConfiguration``, a `ProcessSupervisor` and a `Logger` in the graph.
    public static let providers = ProviderSet("qemu") {
        provide(QEMUDriver.init(configuration:supervisor:logger:))
        contribute(to: [any HypervisorDriver].self) { (driver: QEMUDriver) -> any HypervisorDriver in driver }
    }
}
