import AgentCore
import HTTPTypes
import HummingbirdCore

/// What existing clients may ask for and this agent does not do: known, and said plainly.
enum UnimplementedRoutes {
    private static let paths: [(String, [HTTPRequest.Method])] = [
        ("/resources/memory/reclaim", [.post]),
        ("/instances/{id}/snapshot-schedule", [.get, .put, .delete]),
        ("/instances/{id}/auto-standby/status", [.get]),
        ("/instances/{id}/auto-standby/hold", [.post]),
        ("/devices", [.get, .post]),
        ("/devices/available", [.get]),
        ("/devices/{id}", [.get, .delete]),
        ("/ingresses", [.get, .post]),
        ("/ingresses/{id}", [.get, .delete]),
        ("/builds", [.get, .post]),
        ("/builds/{id}", [.get, .delete]),
        ("/builds/{id}/events", [.get]),
        ("/builders", [.get, .post]),
        ("/builders/{id}", [.get, .delete]),
        ("/builders/{id}/prune", [.post]),
        ("/pushes", [.get, .post]),
        ("/pushes/{id}", [.get]),
    ]

    static var routes: [Route] {
        paths.flatMap { path, methods in
            methods.map { method in
                Route(method, path, .known) { _ in
                    throw AgentError(
                        .notSupported,
                        code: "not_implemented",
                        "\(method) \(path) is not implemented by this agent"
                    )
                }
            }
        }
    }
}
