import AgentCore
import ArgumentParser

/// The daemon and its tools.
struct HypemanAgent: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hypeman-agent",
        abstract: "Runs container images as virtual machines on this host.",
        discussion: """
            Configuration comes from the environment, from a file .env in the working directory, and from \
            /etc/hypeman/hypeman.env; the first of them wins. `hypeman-agent variables` lists what there is.
            """,
        version: AgentVersion.current,
        subcommands: [
            Serve.self, Check.self, NetworkCommands.self, EndGuest.self, DrawGraph.self, GenerateToken.self,
            ListVariables.self,
            ShowVersion.self,
        ]
    )
}

struct ShowVersion: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Prints the version.")

    func run() { print("hypeman-agent \(AgentVersion.current)") }
}

struct ListVariables: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "variables",
        abstract: "Prints the configuration variables as the table in the README."
    )

    func run() {
        print("| variable | default | |\n|---|---|---|")
        for variable in AgentConfiguration.descriptions {
            print("| `\(variable.name)` | \(variable.defaultText) | \(variable.summary) |")
        }
    }
}
