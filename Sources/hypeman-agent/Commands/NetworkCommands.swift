import AgentCore
import ArgumentParser
import Logging

struct NetworkCommands: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network",
        abstract: "Tends to what the agent made of the host's network.",
        subcommands: [TearDown.self]
    )

    struct TearDown: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "teardown",
            abstract: "Removes the bridge, its rules and its name server; the agent makes them again when it starts.",
            discussion: "Refused while an agent runs with this configuration, or a VM uses a device of the bridge."
        )

        func run() async throws {
            let configuration = try AgentConfiguration(environment: try Environment.load())
            let graph = AgentGraph.make(
                configuration,
                logger: AgentLog.makeLogger(level: configuration.logLevel),
                root: ProviderSet("teardown") { provide(Removal.init) }
            )
            try await graph.with(Removal.self) { removal in
                try await removal.network.tearDown()
                print("nothing of the network '\(removal.network.name)' is left on this host")
            }
        }
    }

    /// What a removal needs: the backend, and that no agent works with it meanwhile.
    private struct Removal: Sendable {
        let directory: DataDirectory
        let network: any NetworkBackend
    }
}
