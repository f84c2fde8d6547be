import AgentCore
import HTTPTypes
import HummingbirdCore

/// The plain side of exec: what a request that did not become a WebSocket is told.
struct ExecRoute: Sendable {
    static let path = AgentOperation.execInInstance.row.http?.path ?? ""

    let instances: any InstanceOperations

    var route: Route {
        Route(.execInInstance) { call in
            try checkState(call.subject)
            throw TransportError.upgradeRequired("exec")
        }
    }

    /// Whether a command can run in an instance now or soon.
    ///
    /// - Throws: `notFound`, `ambiguous`, `invalidState`.
    func checkState(_ reference: String) throws(AgentError) {
        let instance = try instances.get(reference)
        guard [.created, .initializing, .running].contains(instance.state) else {
            throw AgentError(
                .invalidState,
                "instance \(instance.name) is \(instance.state.rawValue), not Running: \(instance.state.remedy)"
            )
        }
    }
}

extension InstanceState {
    /// What makes an instance run that is not Running.
    fileprivate var remedy: String {
        switch self {
        case .paused: "resume it first"
        case .standby: "restore it first"
        case .created, .initializing: "wait until it is"
        case .running, .shutdown, .stopped, .unknown: "start it first"
        }
    }
}
