import AgentCore
import HypervisorPlugin

/// Looks at what VMs run in: units of systemd, or beside the agent.
struct SupervisorCheck {
    let choice: SupervisorChoice
    /// Why they cannot be units; nil if they can.
    var obstacle = SupervisorKind.obstacle()

    func finding() -> HostFinding {
        let subject = "supervisor"
        switch (choice, obstacle) {
        case (.child, _): return HostFinding(.ok, subject, "VMs are children of the agent, as SUPERVISOR says")
        case (_, nil): return HostFinding(.ok, subject, "VMs are units of systemd")
        case (.auto, let reason?):
            return HostFinding(.ok, subject, "VMs are children of the agent: \(reason)")
        case (.systemd, let reason?):
            return HostFinding(
                .error,
                subject,
                "SUPERVISOR=systemd, and VMs cannot be units: \(reason)",
                fix: "install the package and run the agent as hypeman-agent.service, or set SUPERVISOR=auto"
            )
        }
    }
}
