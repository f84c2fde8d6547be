import AgentAPI
import AgentCore
import HTTPTypes
import HummingbirdCore

/// What instances once were, and how they become it again.
struct SnapshotRoutes: Sendable {
    let instances: any InstanceOperations

    var routes: [Route] { ofInstances + collection }

    private var ofInstances: [Route] {
        [
            Route(.createSnapshot, consumes: .json) { call in
                try call.query.check(only: [])
                let body = try CreateSnapshotBody(try await call.body.fields())
                let snapshot = try await instances.createSnapshot(call.subject, try CreateSnapshotRequest(body))
                return try .json(SnapshotResponse(snapshot), status: .created)
            },
            Route(
                .restoreSnapshot,
                consumes: .json
            ) { call in
                try call.query.check(only: [])
                let body = try await call.body.optionalFields().map { reader throws(FieldError) in
                    try RestoreSnapshotBody(reader)
                }
                let instance = try await instances.restoreSnapshot(
                    call.subject,
                    call.parameters.last ?? "",
                    to: try Self.target(body?.targetState)
                )
                return try .json(InstanceResponse(instance))
            },
        ]
    }

    private var collection: [Route] {
        [
            Route(.listSnapshots) { call in
                try call.query.check(only: ["name", "source_instance_id", "kind", "tags"])
                return try .cacheable(try snapshots(call).map(SnapshotResponse.init), for: call)
            },
            Route(.getSnapshot) { call in
                try call.query.check(only: [])
                return try .cacheable(SnapshotResponse(try instances.snapshot(call.subject)), for: call)
            },
            Route(.deleteSnapshot) { call in
                try call.query.check(only: [])
                try await instances.deleteSnapshot(call.subject)
                return .empty
            },
        ]
    }

    /// Those that a query asks for; of a name or an id that nothing can have there are none.
    private func snapshots(_ call: Call) throws(AgentError) -> [Snapshot] {
        var filter = SnapshotFilter()
        filter.tags = try call.query.tags()
        if let kind = call.query["kind"], !kind.isEmpty { filter.kind = try Snapshot.Kind(text: kind) }
        if let name = call.query["name"], !name.isEmpty {
            guard let name = try? InstanceName(name) else { return [] }
            filter.name = name
        }
        if let id = call.query["source_instance_id"], !id.isEmpty {
            guard let id = InstanceID(rawValue: id) else { return [] }
            filter.instance = id
        }
        return instances.snapshots(filter)
    }

    static func target(_ text: String?) throws(AgentError) -> InstanceState? {
        guard let text, !text.isEmpty else { return nil }
        guard let state = InstanceState(rawValue: text), [.running, .standby, .stopped].contains(state) else {
            throw AgentError(
                .invalidArgument,
                code: "invalid_target_state",
                "target_state '\(text.prefix(50))' is not Running, Standby or Stopped"
            )
        }
        return state
    }
}
