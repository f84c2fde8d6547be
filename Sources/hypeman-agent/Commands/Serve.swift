import AgentCore
import ArgumentParser
import Glibc
import Logging
import ServiceLifecycle
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs the agent until SIGTERM or SIGINT; VMs run on after it."
    )

    func run() async throws {
        // State, disks and logs hold what tenants put there; the socket's mode is set on its own.
        umask(0o077)
        // A helper that ends without reading what it is told is an error of that call, not the end of the agent.
        signal(SIGPIPE, SIG_IGN)
        let environment = try Environment.load()
        let configuration = try AgentConfiguration(environment: environment)
        let logger = AgentLog.makeLogger(level: configuration.logLevel)
        for name in Environment.ignored(in: environment) {
            logger.warning("variable is not known to this agent and ignored", metadata: ["variable": "\(name)"])
        }
        do {
            try await AgentGraph.make(configuration, logger: logger).with(Agent.self) { agent in
                try await agent.start()
                try await ServiceGroup(
                    configuration: .init(
                        services: [
                            .init(service: agent), .init(service: agent.server), .init(service: agent.bus),
                        ],
                        gracefulShutdownSignals: [.sigterm, .sigint],
                        logger: logger
                    )
                ).run()
            }
        } catch {
            logger.critical("the agent cannot go on", metadata: ["error": "\(error)"])
            throw ExitCode.failure
        }
        logger.info("the agent has stopped; VMs run on")
    }
}
