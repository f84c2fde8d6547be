import AgentCore
import DBus

/// What can be done with a snapshot.
struct SnapshotMethods: Sendable {
    let id: SnapshotID
    let instances: InstancesService
    let published: PublishedObjects
    let operations: OperationRegistry

    var members: [Interface.Member] {
        [
            .method("Restore", ["target_state", "flags"], returns: ["operation"]) {
                (call: Call, target: String, flags: UInt64) in
                try await answering { try await restore(call, target, try CallFlags(flags)) }
            },
            .method("Fork", ["name", "options", "flags"], returns: ["instance", "operation"]) {
                (call: Call, name: String, options: [String: Variant], flags: UInt64) in
                try await answering {
                    let flags = try CallFlags(flags)
                    let request = try ForkInstanceRequest(name, options, ofSnapshot: true)
                    return try await NewInstance(published: published, operations: operations)
                        .begin("fork", for: call, flags) { onAccepted in
                            try await instances.forkSnapshot(id.rawValue, request, onAccepted: onAccepted)
                        }
                }
            },
            .method("Delete") { (_: Call) in
                try await answering { try await instances.deleteSnapshot(id.rawValue) }
                await published.show(id)
            },
        ]
    }

    private func restore(_ call: Call, _ target: String, _ flags: CallFlags) async throws -> ObjectPath {
        let snapshot = try instances.snapshot(id.rawValue)
        let state = target.isEmpty ? nil : try InstanceState(target: target, of: "target_state")
        let path = try await operations.begin(
            "restore-snapshot",
            for: call,
            on: .instance(snapshot.instance)
        ) { _ in
            _ = try await instances.restoreSnapshot(snapshot.instance.rawValue, snapshot.id.rawValue, to: state)
        }
        if flags.waits { try await operations.wait(path) }
        return path
    }
}
