import AgentCore
import GuestProtocol
import HTTPTypes
import HummingbirdCore

/// What is at a path of an instance's, and the plain side of copies: what a request that did not become a WebSocket is
/// told.
struct CopyRoutes: Sendable {
    static let path = AgentOperation.copyFiles.row.http?.path ?? ""

    let instances: any InstanceOperations

    var routes: [Route] {
        [
            Route(.getPathStatus) { call in
                try call.query.check(only: ["path", "follow_links"])
                guard let path = call.query["path"], !path.isEmpty else {
                    throw AgentError(.invalidArgument, code: "missing_field", "query parameter 'path' is required")
                }
                let request = GuestPathRequest(path: path, followsLink: try call.query.boolean("follow_links"))
                return try .json(try await instances.pathInfo(call.subject, request, patience: StartPatience.standard))
            },
            Route(.copyFiles) { call in
                try ExecRoute(instances: instances).checkState(call.subject)
                throw TransportError.upgradeRequired("cp")
            },
        ]
    }
}
