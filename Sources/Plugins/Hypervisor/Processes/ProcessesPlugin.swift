public import AgentCore
import Logging
public import SystemPackage

/// What starting processes needs to know of the agent.
public struct ProcessesConfiguration: Sendable, Hashable {
    /// The agent's.
    public var dataDirectory: FilePath

    public init(dataDirectory: FilePath) { self.dataDirectory = dataDirectory }
}

/// What starts VMMs, for whichever backends there are.
public enum ProcessesPlugin {
    /// Needs a ``ProcessesConfiguration`` and a `Logger` in the graph.
    public static func providers(_ kind: SupervisorKind) -> ProviderSet {
        switch kind {
        case .child:
            ProviderSet("processes") {
                provide(ChildProcessSupervisor.init(logger:))
                bind((any ProcessSupervisor).self) { (supervisor: ChildProcessSupervisor) in supervisor }
            }
        case .systemd:
            ProviderSet("processes systemd") {
                provide(
                    { (configuration: ProcessesConfiguration, logger: Logger) in
                        let supervisor = try SystemdSupervisor(configuration: configuration, logger: logger)
                        try await supervisor.removeLeftovers()
                        return supervisor
                    },
                    cleanup: { await $0.close() }
                )
                bind((any ProcessSupervisor).self) { (supervisor: SystemdSupervisor) in supervisor }
            }
        }
    }
}
