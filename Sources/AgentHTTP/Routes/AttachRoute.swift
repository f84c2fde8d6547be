import AgentCore
import HTTPTypes
import HummingbirdCore

/// The plain side of attach: what a request that did not become a WebSocket is told.
struct AttachRoute: Sendable {
    static let path = AgentOperation.attachToInstance.row.http?.path ?? ""

    let instances: any InstanceOperations

    var route: Route {
        Route(.attachToInstance) { call in
            _ = try Self.includesLog(call.query)
            try checkState(call.subject)
            throw TransportError.upgradeRequired("attach")
        }
    }

    /// Whether the output is to begin with the log so far.
    static func includesLog(_ query: Query) throws(AgentError) -> Bool {
        try query.check(only: ["logs"])
        return try query.boolean("logs")
    }

    /// Whether one can attach to an instance's program now or soon.
    ///
    /// - Throws: `notFound`, `ambiguous`, `notSupported`, `invalidState`.
    func checkState(_ reference: String) throws(AgentError) {
        try instances.get(reference).checkAttachable()
        try ExecRoute(instances: instances).checkState(reference)
    }
}
