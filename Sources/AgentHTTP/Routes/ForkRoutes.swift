import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// New instances that go on where others are, or once were.
struct ForkRoutes: Sendable {
    let instances: any InstanceOperations

    var routes: [Route] {
        [
            Route(.forkInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try ForkInstanceBody(try await call.body.fields())
                let instance = try await instances.fork(call.subject, try ForkInstanceRequest(body))
                return try .json(InstanceResponse(instance), status: .created)
            },
            Route(.forkSnapshot, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try ForkInstanceBody(ofSnapshot: try await call.body.fields())
                let instance = try await instances.forkSnapshot(call.subject, try ForkInstanceRequest(body))
                return try .json(InstanceResponse(instance), status: .created)
            },
        ]
    }
}
