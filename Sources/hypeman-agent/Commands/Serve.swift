import AgentCore
import AgentHTTP
import ArgumentParser
import Foundation
import Glibc
import Logging
import ServiceLifecycle
import UnixSignals

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs the agent until SIGTERM or SIGINT; VMs run on after it.",
        discussion: """
            SIGHUP reads the configuration anew. As a systemd service of Type=notify it tells its state, answers the \
            watchdog, takes its socket from a socket unit, and writes to the journal with fields.
            """
    )

    /// A configuration that does not parse: another start would say the same (EX_CONFIG in sysexits.h).
    private static let configurationFailure = ExitCode(78)

    func run() async throws {
        // State, disks and logs hold what tenants put there; the socket's mode is set on its own.
        umask(0o077)
        // A helper that ends without reading what it is told is an error of that call, not the end of the agent.
        signal(SIGPIPE, SIG_IGN)
        // Until somebody listens to it.
        signal(SIGHUP, SIG_IGN)
        let environment: [String: String]
        let configuration: AgentConfiguration
        do {
            environment = try Environment.load()
            configuration = try AgentConfiguration(environment: environment)
        } catch {
            FileHandle.standardError.write(Data("hypeman-agent: \(error)\n".utf8))
            throw Self.configurationFailure
        }
        let level = LogLevelSwitch(configuration.logLevel)
        let logger = AgentLog.makeLogger(level: level, journal: AgentLog.journal(environment: environment))
        for name in Environment.ignored(in: environment) {
            logger.warning("variable is not known to this agent and ignored", metadata: ["variable": "\(name)"])
        }
        let notifier = ServiceNotifier(path: ServiceEnvironment.own.notifySocket, logger: logger)
        do {
            let socket = try inheritedSocket(logger)
            try await AgentGraph.make(configuration, logger: logger, socket: socket).with(Agent.self) { agent in
                try await agent.start()
                let status: @Sendable () -> String = { agent.status }
                try await ServiceGroup(
                    configuration: .init(
                        services: [
                            .init(service: agent),
                            .init(service: AnnouncedServer(server: agent.server, notifier: notifier, status: status)),
                            .init(service: agent.bus),
                            .init(
                                service: Watchdog(
                                    probe: {
                                        try await agent.probe()
                                        return agent.status
                                    },
                                    notifier: notifier,
                                    interval: ServiceEnvironment.own.watchdogInterval,
                                    clock: ContinuousClock(),
                                    logger: logger
                                )
                            ),
                            .init(
                                service: Reloader(
                                    environment: environment,
                                    level: level,
                                    notifier: notifier,
                                    status: status,
                                    logger: logger
                                )
                            ),
                        ],
                        gracefulShutdownSignals: [.sigterm, .sigint],
                        logger: logger
                    )
                ).run()
            }
        } catch {
            logger.critical("the agent cannot go on", metadata: ["error": "\(error)"])
            notifier.notify(.status("\(error)"))
            await notifier.flush()
            throw ExitCode.failure
        }
        await notifier.flush()
        logger.info("the agent has stopped; VMs run on")
    }

    /// The socket that systemd passed, if it did; of several the first is used.
    private func inheritedSocket(_ logger: Logger) throws -> InheritedSocket? {
        let descriptors = ServiceEnvironment.own.sockets
        guard let first = descriptors.first else { return nil }
        for descriptor in descriptors.dropFirst() {
            logger.warning("a second socket was passed and is not used", metadata: ["descriptor": "\(descriptor)"])
            close(descriptor)
        }
        return try InheritedSocket(descriptor: first)
    }
}
