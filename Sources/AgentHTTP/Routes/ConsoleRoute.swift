import AgentCore
import HTTPTypes
import HummingbirdCore

/// The plain side of the console: what a request that did not become a WebSocket is told.
struct ConsoleRoute: Sendable {
    static let path = "/instances/{id}/console"
    /// Lines of the log to begin with, where nobody says how many.
    private static let defaultTail = 100

    let instances: any InstanceOperations

    var route: Route {
        Route(.followConsole) { call in
            _ = try Self.tail(call.query)
            _ = try instances.get(call.subject)
            throw TransportError.upgradeRequired("console")
        }
    }

    /// How many lines of the log to begin with; nil is all.
    static func tail(_ query: Query) throws(AgentError) -> Int? {
        try query.check(only: ["tail"])
        let tail = try query.integer("tail") ?? defaultTail
        guard tail >= -1 else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_query",
                "tail must be a number of lines, or -1 for all of them"
            )
        }
        return tail == -1 ? nil : tail
    }
}
