import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// New instances that go on where others are, or once were, and images of what they have become.
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
            Route(.commitInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try CommitInstanceBody(try await call.body.fields())
                let image = try await instances.commit(
                    call.subject,
                    CommitInstanceRequest(name: try ImageReference(body.image), tags: body.tags ?? [:]),
                    patience: StartPatience.standard
                )
                return try .json(ImageResponse(image), status: .accepted)
            },
        ]
    }
}
