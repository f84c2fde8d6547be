import AgentAPI
import AgentCore
import HTTPTypes

/// Instances that stand still, go to disk and come back, and what may be changed of them.
struct LifecycleRoutes: Sendable {
    let instances: any InstanceOperations

    var routes: [Route] {
        [
            Route(.updateInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try UpdateInstanceBody(try await call.body.fields())
                var request = UpdateInstanceRequest()
                if let policy = body.restartPolicy { request.restartPolicy = try RestartPolicy(policy) }
                request.vcpus = body.vcpus
                request.memory = try CreateInstanceRequest.size(body.size, "size")
                return try .json(InstanceResponse(try await instances.update(call.subject, request)))
            },
            Route(.standbyInstance, consumes: .json) { call in
                try call.query.check(only: [])
                _ = try await call.body.optionalFields().map { reader throws(FieldError) in
                    try StandbyInstanceBody(reader)
                }
                return try .json(InstanceResponse(try await instances.standby(call.subject)))
            },
            plain(.pauseInstance) { try await $0.pause($1) },
            plain(.resumeInstance) { try await $0.resume($1) },
            plain(.restoreInstance) { try await $0.restore($1) },
        ]
    }

    /// A request without a body; an empty object is none.
    private func plain(
        _ operation: AgentOperation,
        _ act: @escaping @Sendable (any InstanceOperations, String) async throws -> Instance
    ) -> Route {
        Route(operation, consumes: .json) { call in
            try call.query.check(only: [])
            if let reader = try await call.body.optionalFields() { try reader.finish() }
            return try .json(InstanceResponse(try await act(instances, call.subject)))
        }
    }
}
