public import AgentCore

/// The QEMU backend with the process supervisor that it needs.
public enum QEMUPlugin {
    /// As in the configuration.
    public static let name = "qemu"

    /// Needs a ``QEMUConfiguration`` and a `Logger` in the graph.
    public static let providers = ProviderSet("qemu") {
        provide(ChildProcessSupervisor.init(logger:))
        bind((any ProcessSupervisor).self) { (supervisor: ChildProcessSupervisor) in supervisor }
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
