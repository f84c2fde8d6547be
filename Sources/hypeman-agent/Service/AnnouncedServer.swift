import AgentHTTP
import ServiceLifecycle

/// The server of the API, and word of it to systemd: ready as soon as it listens, ending when it is told to.
struct AnnouncedServer: Service {
    let server: AgentHTTPServer
    let notifier: ServiceNotifier
    let status: @Sendable () -> String

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.run { _ in notifier.notify(.ready(status: status())) }
        } onGracefulShutdown: {
            notifier.notify(.stopping)
        }
    }
}
