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

/// The Cloud Hypervisor backend.
public enum CloudHypervisorPlugin {
    /// As in the configuration.
    public static let name = "cloud-hypervisor"

    /// Needs a ``CloudHypervisorConfiguration``, a `ProcessSupervisor` and a `Logger` in the graph.
    public static let providers = ProviderSet("cloud-hypervisor") {
        provide(CloudHypervisorDriver.init(configuration:supervisor:logger:))
        contribute(to: [any HypervisorDriver].self) { (driver: CloudHypervisorDriver) -> any HypervisorDriver in driver
        }
    }
}
