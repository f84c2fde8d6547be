import AgentAPI
import AgentCore

extension ForkInstanceRequest {
    /// What a client asked for, each field checked.
    init(_ body: ForkInstanceBody) throws(AgentError) {
        self.init(
            name: try InstanceName(body.name),
            fromRunning: body.fromRunning ?? false,
            target: try SnapshotRoutes.target(body.targetState),
            publishedPorts: try CreateInstanceRequest.ports(body.ports)
        )
    }
}
