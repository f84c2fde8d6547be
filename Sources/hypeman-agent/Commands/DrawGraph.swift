import AgentCore
import ArgumentParser
import Logging

struct DrawGraph: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph",
        abstract: "Checks how the agent is wired together, and prints it."
    )

    @Flag(help: "Print the DOT language, for Graphviz.")
    var dot = false

    func run() throws {
        let configuration = try AgentConfiguration(environment: try Environment.load())
        let graph = AgentGraph.make(configuration, logger: AgentLog.makeLogger(level: .critical))
        let problems = graph.problems(for: Agent.self, reportingUnused: true)
        guard problems.isEmpty else { throw GraphError(problems: problems) }
        print(dot ? try graph.dot(for: Agent.self) : try graph.text(for: Agent.self), terminator: "")
    }
}
