import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// Instances, but for logs and exec.
struct InstanceRoutes: Sendable {
    private static let longestWait = Duration.seconds(300)

    let instances: any InstanceOperations

    var routes: [Route] { collection + item }

    private var collection: [Route] {
        [
            Route(.listInstances) { call in
                try call.query.check(only: ["state", "tags"])
                var filter = InstanceFilter()
                filter.state = try Self.state(call.query["state"])
                filter.tags = try call.query.tags()
                return try .cacheable(instances.list(filter).map(InstanceResponse.init), for: call)
            },
            Route(.createInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try CreateInstanceBody(try await call.body.fields())
                let instance = try await instances.create(try CreateInstanceRequest(body))
                return try .json(InstanceResponse(instance), status: .created)
            },
        ]
    }

    private var item: [Route] {
        [
            Route(.getInstance) { call in
                try call.query.check(only: [])
                return try .cacheable(InstanceResponse(try instances.get(call.subject)), for: call)
            },
            Route(.deleteInstance) { call in
                try call.query.check(only: [])
                try await instances.delete(call.subject)
                return .empty
            },
            Route(.startInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try await call.body.optionalFields().map { reader throws(FieldError) in
                    try StartInstanceBody(reader)
                }
                let request = StartInstanceRequest(
                    entrypoint: body?.entrypoint.flatMap { $0.isEmpty ? nil : $0 },
                    command: body?.cmd
                )
                return try .json(InstanceResponse(try await instances.start(call.subject, request)))
            },
            Route(.stopInstance, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try await call.body.optionalFields().map { reader throws(FieldError) in
                    try StopInstanceBody(reader)
                }
                var request = StopInstanceRequest()
                if let timeout = try Self.duration(body?.timeout, "timeout") { request.signalDeadline = timeout }
                request.isForHostShutdown = body?.hostShutdown ?? false
                return try .json(InstanceResponse(try await instances.stop(call.subject, request)))
            },
            Route(.getInstanceStats) { call in
                try call.query.check(only: [])
                return try .json(InstanceStatsResponse(try await instances.usage(call.subject)))
            },
            Route(.waitForInstance) { call in
                try call.query.check(only: ["state", "timeout"])
                guard let state = try Self.state(call.query["state"]) else {
                    throw AgentError(.invalidArgument, code: "missing_field", "query parameter 'state' is required")
                }
                let timeout = try Self.duration(call.query["timeout"], "timeout") ?? .seconds(60)
                let result = try await call.body.stream.consumeWithCancellationOnInboundClose { _ in
                    try await instances.wait(call.subject, for: state, timeout: min(timeout, Self.longestWait))
                }
                var response = try Response.json(WaitResponse(result))
                // To notice a client that goes away, the rest of the connection was given up.
                response.headers[.connection] = "close"
                return response
            },
        ]
    }

    private static func state(_ text: String?) throws(AgentError) -> InstanceState? {
        guard let text, !text.isEmpty else { return nil }
        return try InstanceState(text: text)
    }

    private static func duration(_ text: String?, _ field: String) throws(AgentError) -> Duration? {
        guard let text, !text.isEmpty else { return nil }
        guard let duration = DurationText.parse(text) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_\(field)",
                "\(field) '\(text.prefix(50))' is not a duration: write 90s or 1m30s"
            )
        }
        return duration
    }
}
